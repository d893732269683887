//! Walks what Parquet writes in Thrift's compact protocol (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>)
//! without building anything, so that forged counts and lengths are found before a decoder makes room for them.
//!
//! A walk follows a grammar. Known fields must have their type and width and stand once, since the decoder that comes later reads them by
//! number, cuts integers to their width and keeps the last of two: it would otherwise see other values than the walk saw.

/// Structs in structs; Parquet's own stay below it.
const DEPTH_MAX: u32 = 16;

/// The type of a field.
pub(super) enum Kind {
    Bool,
    /// An integer of 32 bits or fewer.
    Int,
    /// An integer of 64 bits.
    Long,
    Byte,
    Double,
    Binary,
    Struct(&'static [Field]),
    List(&'static Kind),
}

/// A known field of a struct: its number, its type, and the event that the visitor receives for it.
pub(super) struct Field(pub(super) i16, pub(super) Kind, pub(super) Option<Seen>);

/// Events of a visitor: integers and booleans with their value, lists with their length, structs (value 0) when they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    SchemaElements,
    SchemaElement,
    Children,
    RowGroups,
    Chunks,
    PageType,
    DecodedSize,
    StoredSize,
    DictionaryValues,
    DictionaryEncoding,
    DataValues,
    DataEncoding,
    LevelBytes,
    IsCompressed,
}

/// Walks the struct at the beginning of `bytes` and returns its length.
///
/// # Errors
/// What is wrong with the bytes, or what the visitor returns.
pub(super) fn walk(
    bytes: &[u8],
    fields: &'static [Field],
    visit: &mut dyn FnMut(Seen, i64) -> Result<(), String>,
) -> Result<usize, String> {
    let mut walker = Walker { bytes, at: 0, visit };
    walker.fields(fields, 0)?;
    Ok(walker.at)
}

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    visit: &'a mut dyn FnMut(Seen, i64) -> Result<(), String>,
}

// Types as they are written.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

impl Walker<'_> {
    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied().ok_or("it ends too early")?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_bytes(&mut self, count: u64) -> Result<(), String> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(format!("a value of {count} bytes where {left} are left"));
        }
        self.at += count as usize;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer of more than 10 bytes".into())
    }

    fn integer(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn list(&mut self) -> Result<(u8, u64), String> {
        let header = self.byte()?;
        let short = u64::from(header >> 4);
        let length = if short == 15 { self.varint()? } else { short };
        let left = (self.bytes.len() - self.at) as u64;
        if length > left {
            return Err(format!("a list of {length} elements where {left} bytes are left"));
        }
        Ok((header & 0x0f, length))
    }

    fn fields(&mut self, known: &'static [Field], depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} structs in each other"));
        }
        let (mut id, mut once) = (0i16, 0u32);
        loop {
            let header = self.byte()?;
            let written = header & 0x0f;
            if written == STOP {
                return Ok(());
            }
            id = match header >> 4 {
                0 => i16::try_from(self.integer()?).map_err(|_| "a field number beyond 16 bits")?,
                step => id.checked_add(i16::from(step)).ok_or("a field number beyond 16 bits")?,
            };
            match known.iter().find(|field| field.0 == id) {
                Some(Field(_, kind, seen)) => {
                    let bit = 1 << (id & 31);
                    if once & bit != 0 {
                        return Err(format!("field {id} stands twice"));
                    }
                    once |= bit;
                    self.value(kind, *seen, written, depth, id)?;
                }
                // In a field the type is the value of a boolean.
                None if matches!(written, TRUE | FALSE) => {}
                None => self.skip(written, depth)?,
            }
        }
    }

    fn value(
        &mut self,
        kind: &'static Kind,
        seen: Option<Seen>,
        written: u8,
        depth: u32,
        id: i16,
    ) -> Result<(), String> {
        let emit = |walker: &mut Self, value| seen.map_or(Ok(()), |seen| (walker.visit)(seen, value));
        match (kind, written) {
            (Kind::Bool, TRUE | FALSE) => emit(self, i64::from(written == TRUE)),
            (Kind::Byte, BYTE) => self.skip_bytes(1),
            (Kind::Int | Kind::Long, 4..=I64) => {
                let value = self.integer()?;
                if matches!(kind, Kind::Int) && i32::try_from(value).is_err() {
                    return Err(format!("field {id} is {value}: expected an integer of 32 bits"));
                }
                emit(self, value)
            }
            (Kind::Double, DOUBLE) => self.skip_bytes(8),
            (Kind::Binary, BINARY) => self.varint().and_then(|length| self.skip_bytes(length)),
            (Kind::Struct(fields), STRUCT) => {
                emit(self, 0)?;
                self.fields(fields, depth + 1)
            }
            (Kind::List(kind), LIST) => {
                let (written, length) = self.list()?;
                emit(self, length as i64)?;
                // The element's own event, for lists of structs.
                let element = match (kind, seen) {
                    (Kind::Struct(_), Some(Seen::SchemaElements)) => Some(Seen::SchemaElement),
                    _ => None,
                };
                for _ in 0..length {
                    match kind {
                        Kind::Bool => self.skip_bytes(1)?,
                        kind => self.value(kind, element, written, depth + 1, id)?,
                    }
                }
                Ok(())
            }
            _ => Err(format!("field {id} has type {written}")),
        }
    }

    fn skip(&mut self, written: u8, depth: u32) -> Result<(), String> {
        match written {
            TRUE | FALSE | BYTE => self.skip_bytes(1),
            4..=I64 => self.varint().map(drop),
            DOUBLE => self.skip_bytes(8),
            BINARY => self.varint().and_then(|length| self.skip_bytes(length)),
            STRUCT => self.fields(&[], depth + 1),
            UUID => self.skip_bytes(16),
            LIST | SET if depth < DEPTH_MAX => {
                let (element, length) = self.list()?;
                refuse_booleans(length, element)?;
                (0..length).try_for_each(|_| self.skip(element, depth + 1))
            }
            MAP if depth < DEPTH_MAX => {
                let length = self.varint()?;
                let kinds = if length == 0 { 0 } else { self.byte()? };
                refuse_booleans(length, kinds >> 4)?;
                refuse_booleans(length, kinds & 0x0f)?;
                (0..length).try_for_each(|_| {
                    self.skip(kinds >> 4, depth + 1).and_then(|()| self.skip(kinds & 0x0f, depth + 1))
                })
            }
            other => Err(format!("type {other}, or more than {DEPTH_MAX} structs in each other")),
        }
    }
}

/// Booleans in a list take a byte each, but the decoder skips them as if they took none, and would read those bytes as fields. The format
/// has no such list.
fn refuse_booleans(length: u64, element: u8) -> Result<(), String> {
    match element {
        TRUE | FALSE if length > 0 => Err("an unknown list of booleans".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE: &[Field] = &[Field(1, Kind::Int, Some(Seen::DataValues)), Field(2, Kind::Long, None)];

    fn walked(bytes: &[u8]) -> Result<Vec<i64>, String> {
        let mut values = Vec::new();
        walk(bytes, ONE, &mut |_, value| {
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    /// What the decoder would read otherwise than this walk: each hides a forged value from it.
    #[test]
    fn what_the_decoder_reads_otherwise_is_refused() {
        assert_eq!(walked(&[0x15, 4, 0x16, 4, 0]), Ok(vec![2]));
        for (bytes, expected) in [
            (&[0x09, 200, 1, 0x21, 1, 2, 0x05, 2, 4, 0][..], "an unknown list of booleans"),
            (&[0x0b, 200, 1, 1, 0x15, 0, 0, 0], "an unknown list of booleans"),
            (&[0x15, 4, 0x05, 2, 6, 0], "field 1 stands twice"),
            (&[0x16, 0x80, 0x80, 0x80, 0x80, 0x20, 0], "expected an integer of 32 bits"),
            (&[0x18, 1, 4, 0], "field 1 has type 8"),
            (&[0x15], "it ends too early"),
            (&[0x09, 200, 1, 0xf5, 0xff, 0xff, 3, 0], "a list of 65535 elements where 1 bytes are left"),
        ] {
            let refused = walked(bytes).unwrap_err();
            assert!(refused.contains(expected), "{refused:?} should be {expected:?}");
        }
        let deep = [vec![0x0c, 200, 1], [0x1c; 40].to_vec()].concat();
        assert!(walked(&deep).unwrap_err().contains("structs in each other"));
    }
}
