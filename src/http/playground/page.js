'use strict';

// The token lives as long as the browser's tab, and goes nowhere but into the Authorization header of /graphql.
const field = document.getElementById('token');

// Forgives what a copied token often brings along: quotes of the JSON, the scheme, spaces.
function keep(token) {
  sessionStorage.setItem('token', token.trim().replace(/^"|"$/g, '').replace(/^bearer\s+/i, ''));
}

// A link with #token=… signs in. The token is stripped at once, so that it stays out of the history and of copied addresses.
function takeTokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token) {
    history.replaceState(null, '', location.pathname + location.search);
    keep(token);
    field.value = sessionStorage.getItem('token');
  }
}

field.value = sessionStorage.getItem('token') ?? '';
field.addEventListener('input', () => keep(field.value));
document.getElementById('credentials').addEventListener('submit', (event) => event.preventDefault());
takeTokenFromAddress();
addEventListener('hashchange', takeTokenFromAddress);

const show = document.getElementById('show');
show.addEventListener('click', () => {
  const shown = field.type === 'password';
  field.type = shown ? 'text' : 'password';
  show.textContent = shown ? 'Hide' : 'Show';
  show.setAttribute('aria-pressed', String(shown));
});

async function fetcher(parameters, options) {
  const headers = {
    'Content-Type': 'application/json',
    Accept: 'application/graphql-response+json, application/json;q=0.9',
  };
  const token = sessionStorage.getItem('token');
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: { ...headers, ...options?.headers },
    body: JSON.stringify(parameters),
    credentials: 'omit',
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `HTTP ${response.status}: ${text}` }] };
  }
}

const tabs = JSON.parse(document.getElementById('tabs').textContent);
// GraphiQL leaves out the variables of the tab that it opens first, unless they are given apart.
const opened = sessionStorage.getItem('graphiql:tabState') ? {} : { variables: tabs[0].variables };

ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultEditorToolsVisibility: 'variables',
    defaultTabs: tabs,
    ...opened,
    // Variables hold addresses and codes: like the token, they are forgotten with the browser's tab.
    storage: sessionStorage,
    shouldPersistHeaders: false,
  }),
);
