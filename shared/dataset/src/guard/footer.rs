//! Checks a footer before it is decoded: counts against the bytes that are there, and the tree of the schema.

use super::thrift::{Field, Kind, Seen, walk};

/// Groups in groups; a list of structs in a list takes 6.
const SCHEMA_DEPTH_MAX: usize = 32;

/// What a footer states.
#[derive(Debug, Default)]
pub(super) struct Stated {
    /// Leaves of the schema and the groups that hold them.
    pub(super) elements: u64,
    pub(super) row_groups: u64,
    /// Column chunks in all row groups.
    pub(super) chunks: u64,
}

/// Checks the bytes of a footer.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(bytes: &[u8]) -> Result<Stated, String> {
    let (mut stated, mut children, mut schemas) = (Stated::default(), Vec::new(), 0);
    let mut visit = |seen: Seen, value: i64| {
        match seen {
            Seen::SchemaElements => schemas += 1,
            Seen::SchemaElement => children.push(0),
            Seen::Children => {
                let last = children.last_mut().ok_or("it states children before an element")?;
                *last = usize::try_from(value).map_err(|_| format!("{value} children of a column"))?;
            }
            // A second list would replace the first one, but its room is made first.
            Seen::RowGroups => stated.row_groups += value as u64,
            Seen::Chunks => stated.chunks += value as u64,
            _ => {}
        }
        Ok(())
    };
    walk(bytes, FILE, &mut visit)?;
    if schemas != 1 {
        return Err(format!("it has {schemas} schemas: expected one"));
    }
    tree(&children)?;
    stated.elements = children.len() as u64;
    Ok(stated)
}

/// Checks that the numbers of children make one tree: elements are written parents first.
fn tree(children: &[usize]) -> Result<(), String> {
    // How many elements are still to come in each group that is open.
    let mut open: Vec<usize> = vec![1];
    for (at, count) in children.iter().enumerate() {
        while open.last() == Some(&0) {
            open.pop();
        }
        let Some(expected) = open.last_mut() else {
            return Err("its schema has elements that belong to no group".into());
        };
        *expected -= 1;
        let left = children.len() - at - 1;
        if *count > left {
            return Err(format!("a column has {count} children where {left} elements are left"));
        }
        if *count > 0 {
            open.push(*count);
        }
        if open.len() > SCHEMA_DEPTH_MAX {
            return Err(format!("its schema has more than {SCHEMA_DEPTH_MAX} groups in each other"));
        }
    }
    match open.iter().sum::<usize>() {
        0 => Ok(()),
        missing => Err(format!("its schema lacks {missing} elements")),
    }
}

// The grammar is that of parquet.thrift (<https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>).
const fn plain(id: i16, kind: Kind) -> Field {
    Field(id, kind, None)
}

static EMPTY: &[Field] = &[];
static FILE: &[Field] = &[
    plain(1, Kind::Int),
    Field(2, Kind::List(&Kind::Struct(ELEMENT)), Some(Seen::SchemaElements)),
    plain(3, Kind::Long),
    Field(4, Kind::List(&Kind::Struct(ROW_GROUP)), Some(Seen::RowGroups)),
    plain(5, Kind::List(&Kind::Struct(KEY_VALUE))),
    plain(6, Kind::Binary),
    plain(7, Kind::List(&Kind::Struct(COLUMN_ORDER))),
];
static ELEMENT: &[Field] = &[
    plain(1, Kind::Int),
    plain(2, Kind::Int),
    plain(3, Kind::Int),
    plain(4, Kind::Binary),
    Field(5, Kind::Int, Some(Seen::Children)),
    plain(6, Kind::Int),
    plain(7, Kind::Int),
    plain(8, Kind::Int),
    plain(9, Kind::Int),
    plain(10, Kind::Struct(LOGICAL_TYPE)),
];
static LOGICAL_TYPE: &[Field] = &[
    plain(1, Kind::Struct(EMPTY)),
    plain(2, Kind::Struct(EMPTY)),
    plain(3, Kind::Struct(EMPTY)),
    plain(4, Kind::Struct(EMPTY)),
    plain(5, Kind::Struct(&[plain(1, Kind::Int), plain(2, Kind::Int)])),
    plain(6, Kind::Struct(EMPTY)),
    plain(7, Kind::Struct(TIME)),
    plain(8, Kind::Struct(TIME)),
    plain(10, Kind::Struct(&[plain(1, Kind::Byte), plain(2, Kind::Bool)])),
    plain(11, Kind::Struct(EMPTY)),
    plain(12, Kind::Struct(EMPTY)),
    plain(13, Kind::Struct(EMPTY)),
    plain(14, Kind::Struct(EMPTY)),
    plain(15, Kind::Struct(EMPTY)),
    plain(16, Kind::Struct(&[plain(1, Kind::Byte)])),
    plain(17, Kind::Struct(&[plain(1, Kind::Binary)])),
    plain(18, Kind::Struct(&[plain(1, Kind::Binary), plain(2, Kind::Int)])),
];
static TIME: &[Field] = &[plain(1, Kind::Bool), plain(2, Kind::Struct(TIME_UNIT))];
static TIME_UNIT: &[Field] =
    &[plain(1, Kind::Struct(EMPTY)), plain(2, Kind::Struct(EMPTY)), plain(3, Kind::Struct(EMPTY))];
static KEY_VALUE: &[Field] = &[plain(1, Kind::Binary), plain(2, Kind::Binary)];
static COLUMN_ORDER: &[Field] = &[plain(1, Kind::Struct(EMPTY)), plain(2, Kind::Struct(EMPTY))];
static ROW_GROUP: &[Field] = &[
    Field(1, Kind::List(&Kind::Struct(CHUNK)), Some(Seen::Chunks)),
    plain(2, Kind::Long),
    plain(3, Kind::Long),
    plain(4, Kind::List(&Kind::Struct(SORTING))),
    plain(5, Kind::Long),
    plain(6, Kind::Long),
    plain(7, Kind::Int),
];
static SORTING: &[Field] = &[plain(1, Kind::Int), plain(2, Kind::Bool), plain(3, Kind::Bool)];
static CHUNK: &[Field] = &[
    plain(1, Kind::Binary),
    plain(2, Kind::Long),
    plain(3, Kind::Struct(CHUNK_METADATA)),
    plain(4, Kind::Long),
    plain(5, Kind::Int),
    plain(6, Kind::Long),
    plain(7, Kind::Int),
];
static CHUNK_METADATA: &[Field] = &[
    plain(1, Kind::Int),
    plain(2, Kind::List(&Kind::Int)),
    plain(3, Kind::List(&Kind::Binary)),
    plain(4, Kind::Int),
    plain(5, Kind::Long),
    plain(6, Kind::Long),
    plain(7, Kind::Long),
    plain(8, Kind::List(&Kind::Struct(KEY_VALUE))),
    plain(9, Kind::Long),
    plain(10, Kind::Long),
    plain(11, Kind::Long),
    plain(12, Kind::Struct(STATISTICS)),
    plain(13, Kind::List(&Kind::Struct(ENCODING_STATS))),
    plain(14, Kind::Long),
    plain(15, Kind::Int),
    plain(16, Kind::Struct(SIZE_STATISTICS)),
    plain(17, Kind::Struct(GEOSPATIAL)),
];
static STATISTICS: &[Field] = &[
    plain(1, Kind::Binary),
    plain(2, Kind::Binary),
    plain(3, Kind::Long),
    plain(4, Kind::Long),
    plain(5, Kind::Binary),
    plain(6, Kind::Binary),
    plain(7, Kind::Bool),
    plain(8, Kind::Bool),
    plain(9, Kind::Long),
];
static ENCODING_STATS: &[Field] = &[plain(1, Kind::Int), plain(2, Kind::Int), plain(3, Kind::Int)];
static SIZE_STATISTICS: &[Field] =
    &[plain(1, Kind::Long), plain(2, Kind::List(&Kind::Long)), plain(3, Kind::List(&Kind::Long))];
static GEOSPATIAL: &[Field] = &[plain(1, Kind::Struct(BOX)), plain(2, Kind::List(&Kind::Int))];
static BOX: &[Field] = &{
    let mut fields = [const { plain(0, Kind::Double) }; 8];
    let mut at = 0;
    while at < fields.len() {
        fields[at].0 = at as i16 + 1;
        at += 1;
    }
    fields
};
