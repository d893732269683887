//! Renders a report as Markdown, without plots; tables hold their numbers.

use crate::{Section, Table};

pub(crate) fn page(title: &str, sections: &[Section]) -> String {
    let mut page = format!("# {title}\n");
    for section in sections {
        page.push_str(&format!("\n## {}\n", section.title));
        for paragraph in &section.paragraphs {
            page.push_str(&format!("\n{paragraph}\n"));
        }
        if !section.lines.is_empty() {
            page.push_str(&format!("\n```\n{}\n```\n", section.lines.join("\n")));
        }
        section.tables.iter().for_each(|of| page.push_str(&table(of)));
    }
    page
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("\n{}|---{}|\n", line(table.head.clone()), "|--:".repeat(table.head.len() - 1));
    for row in &table.rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}
