//! The HTTP API of infra/terraform.

use serde_json::Value;

use super::super::Collected;
use super::fields;
use super::values::{text, texts};

/// Who calls the function on behalf of the API.
pub(super) const CALLER: &str = "apigateway.amazonaws.com";

/// Reads what lets the API call the function.
pub(super) fn permission(name: &str, of: &Value, into: &mut Collected) {
    // The alias is of the function, and its name alone says which.
    let wanted = [
        ("function", "qualifier"),
        ("action", "action"),
        ("principal", "principal"),
        ("source", "source_arn"),
    ];
    fields("permission", name, of, into, &wanted);
}

/// Reads a part of the HTTP API.
pub(super) fn part(name: &str, of: &Value, into: &mut Collected) {
    let mut wanted = vec![
        ("api", "api_id"),
        ("description", "description"),
        ("protocol", "protocol_type"),
        ("type", "integration_type"),
        ("to", "integration_uri"),
        ("payload", "payload_format_version"),
        ("timeout_ms", "timeout_milliseconds"),
        ("authorizer", "authorizer_type"),
        ("issuer", "jwt_configuration.issuer"),
        ("route", "route_key"),
        ("target", "target"),
        ("deploys", "auto_deploy"),
        ("requests_s", "default_route_settings.throttling_rate_limit"),
        ("burst", "default_route_settings.throttling_burst_limit"),
    ];
    // A stage's name is that of a part of the API, and no name of the stack's.
    wanted.push((if of["auto_deploy"].is_null() { "name" } else { "stage" }, "name"));
    fields("http", name, of, into, &wanted);
    into.list(format!("http.{name}.audience"), texts(&of["jwt_configuration"]["audience"]));
    into.list(format!("http.{name}.token"), texts(&of["identity_sources"]));
    if let Some(choice) = of["authorization_type"].as_str() {
        // ${var.jwt_issuer == "" ? "<without>" : "<with>"}
        let parts: Vec<&str> = choice.split('"').collect();
        assert_eq!(parts[0], "${var.jwt_issuer == ", "{name}");
        into.put(format!("http.{name}.without_tokens"), parts[3]);
        into.put(format!("http.{name}.with_tokens"), parts[5]);
        into.put(format!("http.{name}.authorized_by"), text(&of["authorizer_id"]));
    }
}
