//! A visitor without JavaScript: pages, their forms, and cookies.

use super::PATIENCE;

/// Visits pages as a browser does, with a jar of cookies.
pub struct Visitor {
    http: reqwest::Client,
    base_url: String,
}

/// A page as it was answered.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    /// The header Retry-After, in seconds.
    pub retry_after: Option<u64>,
    pub url: String,
    pub html: String,
}

/// A form of a page.
#[derive(Clone, Debug)]
pub struct Form {
    pub method: String,
    pub action: String,
    /// Names and values of the inputs, and of the first button that has a name.
    pub fields: Vec<(String, String)>,
    html: String,
}

impl Visitor {
    pub fn new(base_url: &str) -> Self {
        let accept = ("accept".parse().unwrap(), "text/html,application/xhtml+xml,*/*;q=0.8".parse().unwrap());
        let builder = reqwest::Client::builder().default_headers([accept].into_iter().collect());
        let http = builder.timeout(PATIENCE).no_proxy().cookie_store(true).build().unwrap();
        Self { http, base_url: base_url.to_owned() }
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with("http") { url.to_owned() } else { format!("{}{url}", self.base_url) }
    }

    pub async fn get(&self, url: &str) -> Page {
        page(self.http.get(self.absolute(url)).send().await.unwrap()).await
    }

    pub async fn head(&self, url: &str) -> u16 {
        self.http.head(self.absolute(url)).send().await.unwrap().status().as_u16()
    }

    /// Sends fields to an address.
    pub async fn post(&self, url: &str, fields: &[(String, String)]) -> Page {
        // As a browser says where a form comes from.
        let request = self.http.post(self.absolute(url)).header("origin", &self.base_url).form(fields);
        page(request.send().await.unwrap()).await
    }

    /// Sends a form twice at the same moment, as by two clicks.
    pub async fn submit_twice(&self, page: &Page, form: &Form, filled: &[(&str, &str)]) -> [Page; 2] {
        let (first, second) = tokio::join!(self.submit(page, form, filled), self.submit(page, form, filled));
        [first, second]
    }

    /// Sends a form of a page, with some fields filled in.
    pub async fn submit(&self, page: &Page, form: &Form, filled: &[(&str, &str)]) -> Page {
        assert_eq!(form.method, "post", "{form:?}");
        let action = if form.action.is_empty() { page.url.clone() } else { form.action.clone() };
        self.post(&action, &form.filled(filled)).await
    }
}

async fn page(response: reqwest::Response) -> Page {
    let retry_after = response.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    let (status, url) = (response.status().as_u16(), response.url().to_string());
    Page { status, retry_after, url, html: response.text().await.unwrap() }
}

impl Page {
    /// The page's words, in lower case.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut rest = self.html.split_once("<main").map_or(self.html.as_str(), |(_, main)| main);
        while let Some((before, after)) = rest.split_once('<') {
            text.push_str(before);
            text.push(' ');
            rest = after.split_once('>').map_or("", |(_, rest)| rest);
        }
        text.push_str(rest);
        unescape(&text).to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub fn forms(&self) -> Vec<Form> {
        let forms = self.html.split("<form").skip(1).filter_map(|rest| rest.split_once("</form>"));
        forms.map(|(form, _)| Form::parse(form)).collect()
    }

    /// The form whose HTML holds a text, without regard to case.
    pub fn form(&self, text: &str) -> Form {
        let text = text.to_lowercase();
        let found = self.forms().into_iter().find(|form| form.html.to_lowercase().contains(&text));
        found.unwrap_or_else(|| panic!("no form with {text:?} on {}: {}", self.url, self.html))
    }
}

impl Form {
    fn parse(html: &str) -> Self {
        let opening = html.split_once('>').map_or(html, |(opening, _)| opening);
        let mut fields: Vec<(String, String)> = Vec::new();
        for input in html.split("<input").skip(1) {
            let input = input.split_once('>').map_or(input, |(input, _)| input);
            if let Some(name) = attribute(input, "name") {
                fields.push((name, attribute(input, "value").unwrap_or_default()));
            }
        }
        Self {
            method: attribute(opening, "method").unwrap_or_default().to_lowercase(),
            action: attribute(opening, "action").unwrap_or_default(),
            fields,
            html: html.to_owned(),
        }
    }

    /// The fields with some of them filled in, or added where the form has no such input (a button's name).
    pub fn filled(&self, filled: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        for (name, value) in filled {
            match fields.iter_mut().find(|(field, _)| field == name) {
                Some((_, old)) => *old = (*value).to_owned(),
                None => fields.push(((*name).to_owned(), (*value).to_owned())),
            }
        }
        fields
    }

    /// The same form without the hidden field that proves where it comes from.
    pub fn hidden(&self) -> Vec<String> {
        self.html
            .split("<input")
            .skip(1)
            .filter(|input| input.contains("type=\"hidden\""))
            .filter_map(|input| attribute(input.split_once('>').map_or(input, |(input, _)| input), "name"))
            .collect()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| unescape(value))
}

fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
