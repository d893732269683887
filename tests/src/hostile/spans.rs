//! Finds the numbers, counts and lengths in what Parquet writes in Thrift's compact protocol, to forge them.

/// A number in the bytes.
#[derive(Debug, Clone)]
pub struct Span {
    /// Numbers of the fields that lead to it; positions in lists count as fields.
    pub path: Vec<i64>,
    /// Its first byte and its length.
    pub at: usize,
    pub length: usize,
    pub kind: Kind,
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer(i64),
    /// Elements of a list, whose header holds the type as well.
    List(u8),
    /// Bytes of a text.
    Binary,
}

/// Returns all numbers of the struct at the beginning of `bytes`, and its length; `None` if they are no struct.
pub fn spans(bytes: &[u8]) -> Option<(Vec<Span>, usize)> {
    let mut scan = Scan { bytes, at: 0, found: Vec::new(), path: Vec::new() };
    scan.fields()?;
    Some((scan.found, scan.at))
}

/// Encodes an unsigned number.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Encodes a signed number.
pub fn zigzag(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)) as u64)
}

/// Encodes a span with another value.
pub fn encoded(kind: Kind, value: i64) -> Vec<u8> {
    match kind {
        Kind::Integer(_) => zigzag(value),
        Kind::Binary => varint(value as u64),
        Kind::List(element) => [vec![0xf0 | element], varint(value as u64)].concat(),
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    found: Vec<Span>,
    path: Vec<i64>,
}

impl Scan<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.at += 1;
        self.bytes.get(self.at - 1).copied()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn push(&mut self, from: usize, kind: Kind) {
        self.found.push(Span { path: self.path.clone(), at: from, length: self.at - from, kind });
    }

    fn fields(&mut self) -> Option<()> {
        let mut id = 0;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            id = match header >> 4 {
                0 => unzigzag(self.varint()?),
                step => id + i64::from(step),
            };
            self.path.push(id);
            if header & 0x0f > 2 {
                self.value(header & 0x0f)?;
            }
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8) -> Option<()> {
        let from = self.at;
        match kind {
            1..=3 => self.at += 1,
            4..=6 => {
                let value = unzigzag(self.varint()?);
                self.push(from, Kind::Integer(value));
            }
            7 => self.at += 8,
            8 => {
                let length = self.varint()?;
                self.push(from, Kind::Binary);
                self.at = self.at.checked_add(usize::try_from(length).ok()?)?;
            }
            9 => {
                let header = self.byte()?;
                let length = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                self.push(from, Kind::List(header & 0x0f));
                for index in 0..length {
                    self.path.push(index as i64);
                    self.value(header & 0x0f)?;
                    self.path.pop();
                }
            }
            12 => self.fields()?,
            _ => return None,
        }
        (self.at <= self.bytes.len()).then_some(())
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
