//! Reports: sections of paragraphs, plots and tables, built once and rendered as a page of HTML or as Markdown. Pure.
//!
//! Map: [`Report`] and what it is made of are here, [`plot`] draws; `html` and `markdown` render.
//!
//! Deliberately absent: taxis, models and metrics. Whoever reports knows what the figures mean; here they are text.

mod html;
mod markdown;
pub mod plot;

pub use plot::{Plot, Point, Range};

/// What somebody reads from top to bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What it is about.
    pub title: String,
    /// Its parts, in the order in which they are read.
    pub sections: Vec<Section>,
}

/// A part of a report, whatever its form. Paragraphs come first, then plots, lines and tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// Sentences.
    pub paragraphs: Vec<String>,
    /// Plots; Markdown leaves them out, so a table should hold their figures.
    pub plots: Vec<Plot>,
    /// Lines whose spaces count.
    pub lines: Vec<String>,
    /// Tables; behind a plot HTML folds them away.
    pub tables: Vec<Table>,
}

/// Rows under a head; the first column is text, the others are figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub head: Vec<&'static str>,
    /// Cells, as many in each row as the head has.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// One page that needs nothing else: no script, no font, no network.
    pub fn html(&self) -> String {
        html::page(&self.title, &self.sections)
    }

    /// The same for terminals; plots are left out.
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
