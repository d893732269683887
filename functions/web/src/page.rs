//! `GET /`: the page on which people try a trip, one file that asks nothing but this service.
//!
//! Names of zones are those of the TLC's zone table, <https://d37ci6vzurychx.cloudfront.net/misc/taxi_zone_lookup.csv>, in the order of their
//! ids; boroughs and centroids are the model's own ([`model::zones`]).

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use model::Zone;
use model::zones::{borough, centroid};
use serde_json::json;

use crate::models::tagged;

const PAGE: &str = include_str!("../page/index.html");
const ZONE_NAMES: &str = include_str!("../page/zone_names.txt");
/// What the page may do: run what is in it, and ask this service.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static WITH_ZONES: LazyLock<Bytes> = LazyLock::new(|| {
    let zone = |(name, id): (&str, u16)| {
        let zone = Zone::new(id);
        let (latitude, longitude) = centroid(zone).unzip();
        json!([name, borough(zone).name(), latitude, longitude]).to_string()
    };
    let zones: Vec<String> = ZONE_NAMES.lines().zip(1..).map(zone).collect();
    PAGE.replace("/*ZONES*/", &zones.join(",")).into()
});

/// Answers with the page.
pub async fn page(headers: HeaderMap) -> Response {
    let mut response = tagged(&headers, "text/html; charset=utf-8", WITH_ZONES.clone());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_has_its_name_and_nothing_is_asked_of_others() {
        let page = std::str::from_utf8(&WITH_ZONES).unwrap();
        assert_eq!(ZONE_NAMES.lines().count(), 265);
        for zone in [
            r#"["Newark Airport","EWR",40.69"#,
            r#"["East Harlem North","Manhattan",40."#,
            r#"["JFK Airport","Queens",40.6"#,
            r#"["Outside of NYC","Outside of NYC",null,null]"#,
        ] {
            assert!(page.contains(zone), "{zone}");
        }
        assert!(!page.contains("http://") && !page.contains("https://"), "it names no other place");
        assert!(page.len() < 100_000, "{} bytes", page.len());
    }
}
