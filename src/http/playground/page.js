'use strict';

// The token lives as long as the browser's tab, and goes nowhere but into the Authorization header of /graphql.
const field = document.getElementById('token');

// Forgives what a copied token often brings along: quotes of the JSON, the scheme, spaces.
function keep(token) {
  sessionStorage.setItem('token', token.trim().replace(/^"|"$/g, '').replace(/^bearer\s+/i, ''));
}

// A link with #token=… signs in. The token is stripped at once, so that it stays out of the history and of copied addresses.
// A page of another site may have made the link, to see what is done with its own token: then the person is asked.
function takeTokenFromAddress(isSure) {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!token) return false;
  history.replaceState(null, '', location.pathname + location.search);
  const question = 'This link brings an access token. Whoever made the link may see what you do with it. Use it in this tab?';
  if (!isSure && token !== sessionStorage.getItem('token') && !confirm(question)) return false;
  keep(token);
  field.value = sessionStorage.getItem('token');
  return true;
}

field.value = sessionStorage.getItem('token') ?? '';
field.addEventListener('input', () => keep(field.value));
document.getElementById('credentials').addEventListener('submit', (event) => event.preventDefault());
const hasJustSignedIn = takeTokenFromAddress(document.body.dataset.origin === 'here');
addEventListener('hashchange', () => takeTokenFromAddress(false));

const show = document.getElementById('show');
show.addEventListener('click', () => {
  const shown = field.type === 'password';
  field.type = shown ? 'text' : 'password';
  show.textContent = shown ? 'Hide' : 'Show';
  show.setAttribute('aria-pressed', String(shown));
});

async function fetcher({ operationName, ...rest }, options) {
  // A moment after another tab was opened, GraphiQL still names the operation of the one before.
  const parameters = operationName && new RegExp(`\\b${operationName}\\b`).test(rest.query) ? { operationName, ...rest } : rest;
  const headers = {
    'Content-Type': 'application/json',
    // Only subscriptions are answered with events.
    Accept: 'application/graphql-response+json, application/json;q=0.9, text/event-stream',
  };
  const token = sessionStorage.getItem('token');
  if (token) headers.Authorization = `Bearer ${token}`;
  const ending = new AbortController();
  const response = await fetch(document.body.dataset.graphql, {
    method: 'POST',
    headers: { ...headers, ...options?.headers },
    body: JSON.stringify(parameters),
    credentials: 'omit',
    signal: ending.signal,
  });
  if (response.headers.get('Content-Type')?.startsWith('text/event-stream')) return answers(response.body, ending);
  const text = await response.text();
  try {
    const answer = JSON.parse(text);
    learn(parameters.variables, answer.data ?? {});
    return answer;
  } catch {
    return { errors: [{ message: `HTTP ${response.status}: ${text}` }] };
  }
}

// The answers of a subscription, one for each event, until the event `complete`. GraphiQL takes them one after the other; when it stops,
// so does the request.
function answers(body, ending) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  async function next() {
    for (;;) {
      const end = text.indexOf('\n\n');
      if (end < 0) {
        const { done, value } = await reader.read();
        if (done) return { done: true, value: undefined };
        text += value;
        continue;
      }
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const told = (name) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
      if (told('event') === 'complete') return { done: true, value: undefined };
      if (told('event') === 'next') return { done: false, value: JSON.parse(told('data')) };
    }
  }
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => next().catch((error) => (ending.signal.aborted ? { done: true, value: undefined } : Promise.reject(error))),
      return: async () => {
        ending.abort();
        return { done: true, value: undefined };
      },
    }),
  };
}

// What a tab's answer gives to the variables of others: the words that stand there until then, what takes their place, and in which
// variables, where it isn't all.
const LESSONS = [
  { words: 'the id from tab 4', find: (data) => data.createOrganization?.organization?.id },
  { words: '1234-5678', find: (data) => data.createJoinCodes?.codes?.[0]?.code },
  { words: "Alan's id from tab 9", find: (data) => data.organization?.members?.nodes?.find(isTheOneToLeave)?.id },
  {
    words: 'ada@example.org',
    find: (data, variables) => (data.requestSignIn?.userErrors?.length === 0 ? variables?.input?.email : undefined),
    into: '"digits"',
  },
];

function isTheOneToLeave(member) {
  return member.role !== 'OWNER' && member.joinedVia === 'JOIN_CODE';
}

const learned = JSON.parse(sessionStorage.getItem('learned') ?? '{}');

function learn(variables, data) {
  for (const { words, find } of LESSONS) {
    const found = find(data, variables);
    if (typeof found !== 'string' || found === learned[words]?.at(-1)) continue;
    learned[words] = [...(learned[words] ?? [words]), found];
  }
  sessionStorage.setItem('learned', JSON.stringify(learned));
  const token = data.signIn?.sessionToken;
  if (token && !field.value) {
    keep(token);
    field.value = token;
  }
}

// The variables with the newest that was learned in place of the words, or of what was learned before.
function filled(variables) {
  for (const { words, into } of LESSONS) {
    const values = learned[words] ?? [];
    if (into && !variables.includes(into)) continue;
    for (const earlier of values.slice(0, -1)) {
      variables = variables.replaceAll(JSON.stringify(earlier), JSON.stringify(values.at(-1)));
    }
  }
  return variables;
}

// In the place of GraphiQL's name, since only what is within it sees its editors.
function Logo() {
  const { variableEditor, activeTabIndex } = GraphiQL.React.useEditorContext({ nonNull: true });
  React.useEffect(() => {
    const variables = variableEditor?.getValue() ?? '';
    if (filled(variables) !== variables) variableEditor.setValue(filled(variables));
  }, [variableEditor, activeTabIndex]);
  return 'GraphiQL';
}

const TABS = 'graphiql:tabState';
// The tab to begin with when one is signed in.
const SIGNED_IN = 2;

function freshTabs() {
  const tabs = JSON.parse(document.getElementById('tabs').textContent).map(({ query, variables }, index) => {
    const [, name] = /^(?:query|mutation|subscription) (\w+)/m.exec(query);
    return { id: `step-${index + 1}`, title: name, operationName: name, query, variables, headers: null, response: null };
  });
  return { tabs, activeTabIndex: field.value ? SIGNED_IN : 0 };
}

function keptTabs() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(TABS));
    return kept?.tabs?.[kept.activeTabIndex] ? kept : null;
  } catch {
    return null;
  }
}

function keepTabs(state) {
  const isKept = (key) => !['hash', 'headers', 'response'].includes(key);
  sessionStorage.setItem(TABS, JSON.stringify(state, (key, value) => (isKept(key) ? value : null)));
}

const state = keptTabs() ?? freshTabs();
if (hasJustSignedIn && state.activeTabIndex < SIGNED_IN && state.tabs[SIGNED_IN]) state.activeTabIndex = SIGNED_IN;
keepTabs(state);
// GraphiQL keeps each change half a second late, and the page may be left before.
let newest = state;
addEventListener('pagehide', () => keepTabs(newest));
// GraphiQL opens the tab that has the given contents, and adds one where none has.
const { query, variables } = state.tabs[state.activeTabIndex];

ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(
    GraphiQL,
    {
      fetcher,
      defaultEditorToolsVisibility: 'variables',
      query: query ?? '',
      variables: variables ?? '',
      // Variables hold addresses and codes: like the token, they are forgotten with the browser's tab.
      storage: sessionStorage,
      shouldPersistHeaders: false,
      onTabChange: (changed) => {
        newest = changed;
      },
    },
    React.createElement(GraphiQL.Logo, null, React.createElement(Logo)),
  ),
);
