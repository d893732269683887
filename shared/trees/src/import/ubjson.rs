//! Reader of Universal Binary JSON (<https://ubjson.org>, draft 12), as XGBoost writes it by default and MLflow stores it.

use serde_json::{Map, Number, Value};

use super::ImportError;

/// Arrays and objects in each other; XGBoost's models have 8.
const DEPTH_MAX: u32 = 64;

/// Returns whether bytes are UBJSON rather than JSON: an object whose first key has a binary length.
pub(super) fn is_ubjson(bytes: &[u8]) -> bool {
    matches!(bytes, [b'{', b'i' | b'U' | b'I' | b'l' | b'L', ..])
}

/// Reads one value.
///
/// # Errors
/// [`ImportError::Syntax`] with the position of the byte.
pub(super) fn read(bytes: &[u8]) -> Result<Value, ImportError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.marker().and_then(|marker| reader.value(marker, 0));
    match value {
        Ok(value) if reader.at == bytes.len() => Ok(value),
        Ok(_) => Err(reader.wrong("bytes after the end".into())),
        Err(detail) => Err(reader.wrong(detail)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, detail: String) -> ImportError {
        let detail = format!("byte {}: {detail}", self.at);
        ImportError::Syntax { format: "XGBoost UBJSON", detail }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let bytes = *bytes.ok_or("the file is cut off")?;
        self.at += N;
        Ok(bytes)
    }

    /// Returns the next marker, past no-ops.
    fn marker(&mut self) -> Result<u8, String> {
        loop {
            match self.take()? {
                [b'N'] => {}
                [marker] => return Ok(marker),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn integer(&mut self, marker: u8) -> Result<i64, String> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.take()?).into(),
            b'U' => u8::from_be_bytes(self.take()?).into(),
            b'I' => i16::from_be_bytes(self.take()?).into(),
            b'l' => i32::from_be_bytes(self.take()?).into(),
            b'L' => i64::from_be_bytes(self.take()?),
            other => return Err(format!("marker {:?}, expected an integer", char::from(other))),
        })
    }

    /// Reads a count, of elements that take a byte at least.
    fn count(&mut self) -> Result<usize, String> {
        let marker = self.marker()?;
        let count = self.integer(marker)?;
        let left = self.bytes.len() - self.at;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= left)
            .ok_or_else(|| format!("a count of {count} where {left} bytes are left"))
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.count()?;
        let bytes = self.bytes[self.at..self.at + length].to_vec();
        self.at += length;
        String::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".into())
    }

    fn float(value: f64) -> Result<Value, String> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| format!("{value}, expected a finite number"))
    }

    fn value(&mut self, marker: u8, depth: u32) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} arrays and objects in each other"));
        }
        match marker {
            b'Z' => Ok(Value::Null),
            b'T' => Ok(true.into()),
            b'F' => Ok(false.into()),
            b'i' | b'U' | b'I' | b'l' | b'L' => self.integer(marker).map(Value::from),
            b'd' => Self::float(f32::from_be_bytes(self.take()?).into()),
            b'D' => Self::float(f64::from_be_bytes(self.take()?)),
            b'S' => self.text().map(Value::String),
            b'C' => Ok(Value::String(char::from(self.take::<1>()?[0]).to_string())),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            other => Err(format!("marker {:?} is unknown", char::from(other))),
        }
    }

    /// Reads what may stand before elements: their common type, and their count.
    fn head(&mut self) -> Result<(Option<u8>, Option<usize>), String> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            let [marker] = self.take()?;
            // A value of no bytes could be counted without end.
            if matches!(marker, b'Z' | b'T' | b'F' | b'N') {
                return Err("elements without bytes".into());
            }
            kind = Some(marker);
        }
        if self.peek() != Some(b'#') {
            return if kind.is_none() { Ok((None, None)) } else { Err("a type without a count".into()) };
        }
        self.at += 1;
        Ok((kind, Some(self.count()?)))
    }

    fn array(&mut self, depth: u32) -> Result<Value, String> {
        let (kind, count) = self.head()?;
        let mut elements = Vec::new();
        while count.is_none_or(|count| elements.len() < count) {
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            if marker == b']' && count.is_none() {
                break;
            }
            elements.push(self.value(marker, depth + 1)?);
        }
        Ok(Value::Array(elements))
    }

    fn object(&mut self, depth: u32) -> Result<Value, String> {
        let (kind, count) = self.head()?;
        let mut fields = Map::new();
        let mut read = 0;
        while count.is_none_or(|count| read < count) {
            if count.is_none() && self.peek() == Some(b'}') {
                self.at += 1;
                break;
            }
            let name = self.text()?;
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            let value = self.value(marker, depth + 1)?;
            fields.insert(name, value);
            read += 1;
        }
        Ok(Value::Object(fields))
    }
}
