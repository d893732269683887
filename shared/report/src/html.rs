//! Renders a report as one self-contained page of HTML: no scripts, no fonts, no network.

use crate::{Section, Table};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d5dae1; --paper: #ffffff; --mark: #0b6e4f; --other: #b3541e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #3a434f; --paper: #14181d; --mark: #4cc38a; --other: #f0a06a; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); font-size: 1.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); text-align: right; } th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; overflow-wrap: break-word; } pre { overflow-x: auto; font-size: .8rem; }
svg { display: block; max-width: 100%; height: auto; margin: 1rem 0; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); } svg .soft { fill: var(--soft); }
svg .line { stroke: var(--line); } svg .mark { stroke: var(--mark); fill: var(--mark); } svg .path { stroke: var(--mark); fill: none; } svg .level { stroke: var(--other); stroke-dasharray: 4 3; }
details { margin: 1rem 0; } summary { color: var(--soft); cursor: pointer; }";

pub(crate) fn page(title: &str, sections: &[Section]) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for section in sections {
        page.push_str(&format!("<section>\n<h2>{}</h2>\n", escaped(section.title)));
        for paragraph in &section.paragraphs {
            page.push_str(&format!("<p>{}</p>\n", escaped(paragraph)));
        }
        section.plots.iter().for_each(|plot| page.push_str(&plot.svg()));
        if !section.lines.is_empty() {
            page.push_str(&format!("<pre>{}</pre>\n", escaped(&section.lines.join("\n"))));
        }
        for table in &section.tables {
            // A plot shows the same numbers, so its table is folded away.
            let (open, close) = match section.plots.is_empty() {
                true => ("<div class=\"wide\">", "</div>"),
                false => ("<details><summary>The figures</summary><div class=\"wide\">", "</div></details>"),
            };
            page.push_str(&format!("{open}{}{close}\n", rows(table)));
        }
        page.push_str("</section>\n");
    }
    page + "</body>\n</html>\n"
}

fn rows(table: &Table) -> String {
    let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let head = row("th", &mut table.head.iter().copied());
    let body: String =
        table.rows.iter().map(|cells| row("td", &mut cells.iter().map(String::as_str))).collect();
    format!("<table>\n<thead>{head}</thead>\n<tbody>{body}</tbody>\n</table>")
}

/// Escapes text for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
