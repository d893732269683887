//! Values of template.yaml as texts: references written as `{resource.attribute}`, intrinsic functions resolved.

use serde_json::Value;

use super::super::{many, scalar, snake};
use super::Sam;

impl Sam<'_> {
    pub(super) fn texts(&self, values: &Value) -> Vec<String> {
        many(values).into_iter().map(|value| self.text(value)).collect()
    }

    pub(super) fn resolved(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) if fields.keys().any(|key| key == "Ref" || key.starts_with("Fn::")) => {
                self.text(value).into()
            }
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.resolved(value))).collect()
            }
            Value::Array(values) => values.iter().map(|value| self.resolved(value)).collect(),
            other => other.clone(),
        }
    }

    /// Formats a value, with references as `{name.attribute}`.
    pub(super) fn text(&self, value: &Value) -> String {
        if let Some(name) = value["Ref"].as_str() {
            return self.reference(name);
        }
        if let Some(Value::Array(choice)) = value.get("Fn::If") {
            if let Some(either) = self.either(choice) {
                return either;
            }
            // What is there by a condition, or an empty text.
            assert_eq!(choice.last(), Some(&"".into()), "{value}: the comparison does not know the other");
            return choice.get(1).map(|there| self.text(there)).unwrap_or_default();
        }
        if let Some(got) = value.get("Fn::GetAtt") {
            let parts: Vec<String> = match got {
                Value::String(joined) => joined.split('.').map(String::from).collect(),
                parts => many(parts).into_iter().map(scalar).collect(),
            };
            return self.attribute(&parts[0], &parts[1]);
        }
        if let Some(joined) = value.get("Fn::Join") {
            let split = &joined[1]["Fn::Split"];
            assert_eq!(
                (&joined[0], &split[0]),
                (&"_".into(), &"-".into()),
                "{value}: the comparison knows no other"
            );
            return format!("{} with _ for -", self.text(&split[1]));
        }
        match &value["Fn::Sub"] {
            Value::String(text) => self.substituted(text),
            _ => scalar(value),
        }
    }

    /// Formats a choice between two values by a parameter that is true or false.
    fn either(&self, choice: &[Value]) -> Option<String> {
        let [Value::String(condition), with, without] = choice else { return None };
        let equal = &self.template["Conditions"][condition]["Fn::Equals"];
        let switch = equal[0]["Ref"].as_str().filter(|_| equal[1] == "true")?;
        Some(format!("{} ? {} : {}", self.reference(switch), self.text(with), self.text(without)))
    }

    pub(super) fn reference(&self, name: &str) -> String {
        match name {
            "AWS::StackName" => return "{stack}".into(),
            "AWS::Region" => return "{region}".into(),
            "AWS::AccountId" => return "{account}".into(),
            "AWS::Partition" => return "{partition}".into(),
            _ => (),
        }
        if let Some(function) = name.strip_suffix(".Alias") {
            return format!("{{{}.live}}", snake(function));
        }
        let Some(resource) = self.template["Resources"].get(name) else {
            return format!("{{var.{}}}", snake(name));
        };
        let attribute = match resource["Type"].as_str().unwrap() {
            "AWS::SQS::Queue" => "url",
            "AWS::SNS::Topic" | "AWS::StepFunctions::StateMachine" => "arn",
            kind if kind == "AWS::KMS::Key" || kind.starts_with("AWS::ApiGatewayV2::") => "id",
            _ => "name",
        };
        format!("{{{}.{attribute}}}", snake(name))
    }

    pub(super) fn attribute(&self, resource: &str, attribute: &str) -> String {
        match (self.template["Resources"][resource]["Type"].as_str(), attribute) {
            // CloudFormation's ARN of a log group is that of its streams.
            (Some("AWS::Logs::LogGroup"), "Arn") => format!("{{{}.arn}}:*", snake(resource)),
            (_, "Arn") => format!("{{{}.arn}}", snake(resource)),
            (_, "ApiEndpoint") => format!("{{{}.api_endpoint}}", snake(resource)),
            (_, "QueueName") => format!("{{{}.name}}", snake(resource)),
            (_, other) => panic!("{resource}.{other}: the comparison does not know what that is"),
        }
    }

    pub(super) fn substituted(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut whole = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            whole.push_str(&match (name.strip_prefix('!'), name.split_once('.')) {
                // Written so that it is not replaced.
                (Some(literal), _) => format!("${{{literal}}}"),
                (None, Some((resource, attribute))) => self.attribute(resource, attribute),
                (None, None) => self.reference(name),
            });
            whole.push_str(rest);
        }
        whole
    }
}

/// Returns what a condition lets be there or leaves out; any other value as it is.
pub(super) fn conditional(value: &Value) -> &Value {
    match &value["Fn::If"] {
        Value::Null => value,
        choice => {
            assert_eq!(choice[2]["Ref"], "AWS::NoValue", "{value}: the comparison does not know the other");
            &choice[1]
        }
    }
}
