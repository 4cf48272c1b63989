//! What HTML must be like to look right in mail readers, which know less of it than browsers, and to be read aloud. The
//! lists hold what Gmail, Outlook, Apple Mail and Thunderbird all show, or do without harm (caniemail.com).

use std::collections::BTreeSet;

use rollcall_jobs::mail::Mail;
use scraper::{ElementRef, Html, Selector};
use url::Url;

/// Gmail cuts a mail off beyond 102 kB.
const LARGEST: usize = 100_000;
/// Gmail drops a style element beyond this.
const LARGEST_STYLE: usize = 8_192;

/// No script, picture, font, form or frame is among them.
const ELEMENTS: &[&str] = &[
    "html", "head", "title", "meta", "style", "body", "div", "table", "tbody", "tr", "th", "td", "h1", "p", "a", "br",
    "ul", "li",
];

const ATTRIBUTES: &[&str] = &[
    "align",
    "aria-label",
    "aria-roledescription",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "class",
    "content",
    "dir",
    "href",
    "http-equiv",
    "lang",
    "media",
    "name",
    "role",
    "scope",
    "style",
    "target",
    "type",
    "valign",
    "width",
    "xmlns",
    "xmlns:o",
    "xmlns:v",
    // Not HTML, but MJML has written it ever since.
    "vertical-align",
];

const PROPERTIES: &[&str] = &[
    "background",
    "background-color",
    "border",
    "border-collapse",
    "border-radius",
    "border-top",
    "color",
    "cursor",
    "direction",
    "display",
    "font-family",
    "font-size",
    "font-weight",
    "letter-spacing",
    "line-height",
    "margin",
    "max-height",
    "max-width",
    "mso-padding-alt",
    "opacity",
    "overflow",
    "padding",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-transform",
    "vertical-align",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
];

/// What a screen reader says first.
pub fn label(mail: &Mail) -> Option<String> {
    let document = Html::parse_document(&mail.html);
    all(&document, "[role='article']").first()?.attr("aria-label").map(str::to_owned)
}

/// Everything that is wrong with a mail.
pub fn problems(mail: &Mail) -> Vec<String> {
    let html = &mail.html;
    let document = Html::parse_document(html);
    let mut problems: Vec<String> = document.errors.iter().map(|error| format!("not well-formed: {error}")).collect();
    let mut check = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    check(html.len() < LARGEST, "too large");
    check(html.starts_with("<!doctype html>"), "no doctype");
    check(html.matches("<!--[if ").count() == html.matches("<![endif]-->").count(), "conditional comments differ");
    let root = document.root_element();
    check(root.attr("lang") == Some("en"), "no language");
    for (selector, name) in [("html > head > title", "title"), ("html > body", "body"), ("h1", "main heading")] {
        let found = all(&document, selector);
        check(found.len() == 1 && !text(&found[0]).is_empty(), &format!("not one {name}"));
    }
    check(text(&all(&document, "title")[0]) == mail.subject, "the title isn't the subject");
    check(label(mail).as_deref() == Some(mail.subject.as_str()), "the label isn't the subject");
    check(
        !all(&document, "meta[http-equiv='Content-Type'][content='text/html; charset=UTF-8']").is_empty(),
        "no charset",
    );
    check(
        !all(&document, "meta[name='viewport'][content='width=device-width, initial-scale=1']").is_empty(),
        "no viewport",
    );
    check(!all(&document, "meta[name='color-scheme']").is_empty(), "no color scheme");
    let preheader = all(&document, "body > :first-child")[0];
    check(style(&preheader, "display") == Some("none"), "no hidden preheader at the beginning");
    check((20..300).contains(&text(&preheader).chars().count()), "the preheader is too short or too long");
    for style in all(&document, "style") {
        let style = style.text().collect::<String>();
        check(style.len() <= LARGEST_STYLE, "a style element is too large");
        check(style.matches('{').count() == style.matches('}').count(), "a style element is broken");
        for fetched in ["@import", "@font-face", "url("] {
            check(!style.contains(fetched), "a style element fetches something");
        }
    }
    for table in all(&document, "table") {
        let is_layout = table.attr("role") == Some("presentation");
        let has_headings = !select(&table, "th[scope='row']").is_empty();
        check(is_layout || has_headings, "a table that is read out without headings");
        for attribute in ["border", "cellpadding", "cellspacing"] {
            check(table.attr(attribute) == Some("0"), &format!("a table with a default {attribute}"));
        }
    }
    let elements = || root.descendants().filter_map(ElementRef::wrap);
    for element in elements() {
        problems.extend(problems_of(&element));
    }
    let links: BTreeSet<String> =
        all(&document, "a").iter().filter_map(|link| link.attr("href").map(str::to_owned)).collect();
    let links_of_text: BTreeSet<String> =
        mail.text.split_whitespace().filter(|word| word.contains("://")).map(str::to_owned).collect();
    if links != links_of_text {
        problems.push(format!("links differ: {links:?} and {links_of_text:?}"));
    }
    problems
}

fn problems_of(element: &ElementRef<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let name = element.value().name();
    if !ELEMENTS.contains(&name) {
        problems.push(format!("<{name}> isn't for mails"));
    }
    for (attribute, value) in element.value().attrs() {
        if !ATTRIBUTES.contains(&attribute) {
            problems.push(format!("{attribute} of <{name}> isn't for mails"));
        }
        // The label is compared with the subject, which may have a backslash of its own.
        if value.contains('\\') && attribute != "aria-label" {
            problems.push(format!("{attribute} of <{name}> has escapes: {value}"));
        }
        if value.chars().any(char::is_control) {
            problems.push(format!("{attribute} of <{name}> has control characters"));
        }
    }
    for (property, value) in declarations(element) {
        if !PROPERTIES.contains(&property) {
            problems.push(format!("the property {property} isn't for mails"));
        }
        if value.contains(['(', '@', '!', '\\']) {
            problems.push(format!("{property}: {value} isn't for mails"));
        }
        for word in value.split_whitespace().filter(|_| property.contains("color") || property.contains("background")) {
            if luminance(word).is_none() {
                problems.push(format!("{word} isn't a color like #1f2933"));
            }
        }
    }
    if name == "a" {
        problems.extend(problems_of_link(element));
    }
    let has_text = element.children().any(|child| child.value().as_text().is_some_and(|text| !text.trim().is_empty()));
    let is_visible = !["title", "style"].contains(&name) && style(element, "display") != Some("none");
    if has_text && is_visible {
        problems.extend(problems_of_text(element));
    }
    problems
}

fn problems_of_link(link: &ElementRef<'_>) -> Option<String> {
    let (href, shown) = (link.attr("href").unwrap_or_default(), text(link));
    let Ok(url) = Url::parse(href) else { return Some(format!("a link leads to {href:?}")) };
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    if !is_plain {
        Some(format!("a link leads to {href:?}"))
    } else if shown.is_empty() {
        Some("a link without text".to_owned())
    } else if shown.contains("://") && shown != href {
        Some(format!("a link shows {shown} and leads to {href}"))
    } else {
        None
    }
}

/// Mail readers have colors and sizes of their own where none are given.
fn problems_of_text(element: &ElementRef<'_>) -> Option<String> {
    let shown = text(element);
    let size = inherited(element, &["font-size"]).and_then(|size| size.strip_suffix("px"));
    if !size.and_then(|size| size.parse().ok()).is_some_and(|size: f64| size >= 13.0) {
        return Some(format!("{shown:?} is too small"));
    }
    let color = inherited(element, &["color"]).and_then(luminance);
    let background = inherited(element, &["background-color", "background"]).and_then(luminance);
    let (Some(color), Some(background)) = (color, background) else {
        return Some(format!("{shown:?} has no color of its own"));
    };
    let contrast = (color.max(background) + 0.05) / (color.min(background) + 0.05);
    // WCAG 2, level AA.
    (contrast < 4.5).then(|| format!("{shown:?} has too little contrast: {contrast:.1}"))
}

/// The relative luminance of a color like `#1f2933`, from 0 to 1.
fn luminance(color: &str) -> Option<f64> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    Some(0.2126 * channel(0)? + 0.7152 * channel(2)? + 0.0722 * channel(4)?)
}

/// What an element or the nearest one around it says about any of these properties.
fn inherited<'a>(element: &ElementRef<'a>, properties: &[&str]) -> Option<&'a str> {
    let around = element.ancestors().filter_map(ElementRef::wrap);
    std::iter::once(*element).chain(around).find_map(|element| properties.iter().find_map(|name| style(&element, name)))
}

fn style<'a>(element: &ElementRef<'a>, property: &str) -> Option<&'a str> {
    declarations(element).into_iter().rev().find(|(name, _)| *name == property).map(|(_, value)| value)
}

/// The inline style.
fn declarations<'a>(element: &ElementRef<'a>) -> Vec<(&'a str, &'a str)> {
    let declarations = element.attr("style").unwrap_or_default().split(';');
    declarations.filter_map(|one| one.split_once(':')).map(|(name, value)| (name.trim(), value.trim())).collect()
}

fn text(element: &ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn all<'a>(document: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    document.select(&Selector::parse(selector).unwrap()).collect()
}

fn select<'a>(element: &ElementRef<'a>, selector: &str) -> Vec<ElementRef<'a>> {
    element.select(&Selector::parse(selector).unwrap()).collect()
}
