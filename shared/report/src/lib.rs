//! Reports: sections of paragraphs, plots and tables, built once and rendered as a page of HTML or as Markdown. Pure.
//!
//! Map: [`Report`], [`Section`] and [`Table`] are here; [`plot`] draws; `html` and `markdown` render.
//!
//! Deliberately absent: taxis, models and metrics. The caller knows what the numbers mean; here they are text.

mod html;
mod markdown;
pub mod plot;

pub use plot::{Plot, Point, Range};

/// A document of titled sections.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Title of the report.
    pub title: String,
    /// Sections, in reading order.
    pub sections: Vec<Section>,
}

/// A section of a report. Paragraphs come first, then plots, lines and tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// Title of the section.
    pub title: &'static str,
    /// Paragraphs of plain text.
    pub paragraphs: Vec<String>,
    /// Plots. Markdown omits them, so a table should repeat their numbers.
    pub plots: Vec<Plot>,
    /// Preformatted lines.
    pub lines: Vec<String>,
    /// Tables; HTML folds them away in a section with plots.
    pub tables: Vec<Table>,
}

/// Rows under a head; the first column is text, the others are numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub head: Vec<&'static str>,
    /// Cells; each row has as many as the head.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// Renders the report as one self-contained page of HTML: no scripts, no fonts, no network.
    pub fn html(&self) -> String {
        html::page(&self.title, &self.sections)
    }

    /// Renders the report as Markdown, for terminals, without plots.
    pub fn markdown(&self) -> String {
        markdown::page(&self.title, &self.sections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let ranges = vec![Range { label: "Queens".into(), at: 4.0, lower: 3.5, upper: 4.5 }];
        let table = Table { head: vec!["slice", "RMSE"], rows: vec![vec!["Queens".into(), "4.0".into()]] };
        let section = Section {
            title: "Error <by> slice",
            paragraphs: vec!["Said & done.".into()],
            plots: vec![Plot::ranges("RMSE, min", ranges)],
            lines: vec!["if a < b".into(), "  then c".into()],
            tables: vec![table],
        };
        Report { title: "A \"report\"".into(), sections: vec![section] }
    }

    #[test]
    fn both_forms_say_the_same() {
        let (html, markdown) = (report().html(), report().markdown());
        assert!(
            html.contains("<h1>A &quot;report&quot;</h1>") && html.contains("Error &lt;by&gt; slice"),
            "{html}"
        );
        assert!(
            html.contains("<pre>if a &lt; b\n  then c</pre>") && html.contains("<p>Said &amp; done.</p>")
        );
        assert!(markdown.contains("\n## Error <by> slice\n\nSaid & done.\n"), "{markdown}");
        assert!(markdown.contains("| slice | RMSE |\n|---|--:|\n| Queens | 4.0 |\n"), "{markdown}");
    }

    #[test]
    fn a_table_behind_a_plot_is_folded_away() {
        let mut report = report();
        assert!(report.html().contains("<details><summary>The figures</summary>"));
        report.sections[0].plots.clear();
        assert!(!report.html().contains("<details>") && report.html().contains("<table>"));
    }
}
