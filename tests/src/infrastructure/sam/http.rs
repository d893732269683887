//! The HTTP API of template.yaml.

use serde_json::Value;

use super::super::Collected;
use super::Sam;

impl Sam<'_> {
    /// Reads a part of the HTTP API.
    pub(super) fn http(&self, name: &str, of: &Value, into: &mut Collected) {
        let (jwt, throttling) = (&of["JwtConfiguration"], &of["DefaultRouteSettings"]);
        let by_condition = &of["AuthorizationType"]["Fn::If"];
        assert!(by_condition.is_null() || by_condition[0] == "UsesJwt", "{name}: {by_condition}");
        for (field, value) in [
            ("api", self.text(&of["ApiId"])),
            ("name", self.text(&of["Name"])),
            ("description", self.text(&of["Description"])),
            ("protocol", self.text(&of["ProtocolType"])),
            ("type", self.text(&of["IntegrationType"])),
            ("to", self.text(&of["IntegrationUri"])),
            ("payload", self.text(&of["PayloadFormatVersion"])),
            ("timeout_ms", self.text(&of["TimeoutInMillis"])),
            ("authorizer", self.text(&of["AuthorizerType"])),
            ("issuer", self.text(&jwt["Issuer"])),
            ("route", self.text(&of["RouteKey"])),
            ("target", self.text(&of["Target"])),
            ("with_tokens", self.text(&by_condition[1])),
            ("without_tokens", self.text(&by_condition[2])),
            ("authorized_by", self.text(&of["AuthorizerId"]["Fn::If"][1])),
            ("stage", self.text(&of["StageName"])),
            ("deploys", self.text(&of["AutoDeploy"])),
            ("requests_s", self.text(&throttling["ThrottlingRateLimit"])),
            ("burst", self.text(&throttling["ThrottlingBurstLimit"])),
        ] {
            into.put(format!("http.{name}.{field}"), value);
        }
        into.list(format!("http.{name}.audience"), self.texts(&jwt["Audience"]));
        into.list(format!("http.{name}.token"), self.texts(&of["IdentitySource"]));
    }
}
