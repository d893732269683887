//! The aliases of template.yaml, by which new code is rolled out.

use serde_json::Value;

use super::super::Collected;
use super::Sam;

impl Sam<'_> {
    /// Reads the alias that is invoked in place of a function, and returns whether there is one.
    pub(super) fn alias(&self, name: &str, of: &Value, into: &mut Collected) -> bool {
        let (alias, canary) = (&of["AutoPublishAlias"], &of["DeploymentPreference"]);
        if alias.is_null() {
            return false;
        }
        assert_eq!(
            of["AutoPublishAliasAllProperties"], true,
            "{name}: a version has the properties of its time"
        );
        into.put(format!("function.{name}.alias"), self.text(alias));
        into.put(format!("function.{name}.published"), "true");
        into.put(format!("canary.{name}.asked_by"), self.text(&canary["Enabled"]));
        // Canary10Percent15Minutes
        let percent =
            canary["Type"].as_str().and_then(|kind| kind.strip_prefix("Canary")?.split_once("Percent"));
        let percent: f64 = percent.unwrap().0.parse().unwrap();
        into.put(format!("canary.{name}.share"), (percent / 100.0).to_string());
        true
    }
}
