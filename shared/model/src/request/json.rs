//! JSON as programs write it: with a byte-order mark, and with Python's `NaN` and `Infinity`.

use serde_json::Value;

/// Parses a document. A byte-order mark before it is skipped, and `NaN`, `Infinity` and `-Infinity`, which are not JSON but which
/// Python's `json.dumps` writes, are read as null.
///
/// # Errors
/// The error of the document as it came.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).or_else(|error| match without_python_s_numbers(text) {
        Some(text) => serde_json::from_str(&text).map_err(|_| error),
        None => Err(error),
    })
}

/// Replaces those words by null where they stand outside of texts; `None` where there are none.
fn without_python_s_numbers(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let (mut replaced, mut rest, mut any) = (String::with_capacity(text.len()), text, false);
    let mut in_text = false;
    while let Some(c) = rest.chars().next() {
        let word = WORDS.iter().find(|word| !in_text && rest.starts_with(**word));
        let (taken, written) = match word {
            Some(word) => {
                any = true;
                (word.len(), "null")
            }
            // What follows a backslash in a text does not end it.
            None if in_text && c == '\\' => {
                let pair: usize = rest.chars().take(2).map(char::len_utf8).sum();
                (pair, &rest[..pair])
            }
            None => {
                in_text ^= c == '"';
                (c.len_utf8(), &rest[..c.len_utf8()])
            }
        };
        replaced.push_str(written);
        rest = &rest[taken..];
    }
    any.then_some(replaced)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn python_s_numbers_are_null_and_texts_stay() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" Infinity", "NaN": 1}"#;
        assert_eq!(
            parse(text).unwrap(),
            json!({"a": null, "b": [null, null], "c": "NaN \" Infinity", "NaN": 1})
        );
        assert_eq!(parse("\u{feff}{}").unwrap(), json!({}));
        for bad in ["{\"a\": NaNs}", "{\"a\": NaN", "{\"a\": nan}", "\\", "\"\\"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
