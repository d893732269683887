//! The state machines of template.yaml.

use serde_json::Value;

use super::super::Collected;
use super::Sam;

impl Sam<'_> {
    pub(super) fn state_machine(&self, name: &str, of: &Value, into: &mut Collected) {
        let logging = &of["LoggingConfiguration"];
        let group = &logging["Destinations"][0]["CloudWatchLogsLogGroup"]["LogGroupArn"];
        for (field, value) in [
            ("name", &of["StateMachineName"]),
            ("type", &of["StateMachineType"]),
            ("role", &of["RoleArn"]),
            ("traced", &of["TracingConfiguration"]["Enabled"]),
            ("log_level", &logging["Level"]),
            ("log_data", &logging["IncludeExecutionData"]),
            ("log_group", group),
        ] {
            into.put(format!("steps.{name}.{field}"), self.text(value));
        }
        let definition = self.with_substitutions(&of["Definition"], &of["DefinitionSubstitutions"]);
        into.tree(&format!("steps.{name}.definition"), &definition);
    }

    /// Returns a definition with `${name}` replaced by what the substitutions name.
    fn with_substitutions(&self, definition: &Value, substitutions: &Value) -> Value {
        let within = |part: &Value| self.with_substitutions(part, substitutions);
        match definition {
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), within(value))).collect()
            }
            Value::Array(values) => values.iter().map(within).collect(),
            Value::String(text) => {
                let named = substitutions.as_object().into_iter().flatten();
                let replace = |text: String, (name, value): (&String, &Value)| {
                    text.replace(&format!("${{{name}}}"), &self.text(value))
                };
                named.fold(text.clone(), replace).into()
            }
            other => other.clone(),
        }
    }
}
