//! Reads template.yaml.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

/// Returns template.yaml as JSON, with the short forms of intrinsic functions expanded.
pub fn template() -> Value {
    let path = crate::root().join("template.yaml");
    let documents = Yaml::load_from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let [document] = documents.as_slice() else { panic!("template.yaml is one document") };
    to_json(document)
}

fn to_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(fields) => {
            let field = |(name, value): (&Yaml, &Yaml)| (name.as_str().unwrap().into(), to_json(value));
            Value::Object(fields.iter().map(field).collect())
        }
        Yaml::Tagged(tag, value) => intrinsic(&tag.suffix, to_json(value)),
        other => panic!("template.yaml holds {other:?}"),
    }
}

/// Expands `!GetAtt Queue.Arn` to `{"Fn::GetAtt": ["Queue", "Arn"]}`; `!Ref` and `!Condition` have no namespace.
fn intrinsic(name: &str, value: Value) -> Value {
    match (name, value) {
        ("Ref" | "Condition", value) => json!({name: value}),
        ("GetAtt", Value::String(path)) => {
            let (resource, attribute) = path.split_once('.').unwrap();
            json!({"Fn::GetAtt": [resource, attribute]})
        }
        (name, value) => json!({format!("Fn::{name}"): value}),
    }
}
