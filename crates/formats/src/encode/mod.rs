//! Changes of captured tables as messages and their keys, as Flink CDC's Kafka sink writes them.
//!
//! ```text
//! ChangeBatch of one table ─► message_encoder ─► one message per change: debezium-json, canal-json
//!                          └► key_encoder     ─► one key per change: json, csv
//! ```
//!
//! Unlike the formats of SQL scripts, which write an update as a deletion and an insertion, a `-U` row and the `+U`
//! row after it are one message here; both encoders give the same number of records for a batch, in the same order.
//! A `+U` row alone (a replacement) is an update whose old row is null.
//!
//! An encoder is made for one shape of a table: a change of the schema asks for a new one. Columns of the batch
//! beyond those of the table (its metadata) are not written. TIME is written in whole seconds, as Flink does it.
//!
//! ```
//! use starweir_formats::encode::{message_definitions, message_encoder};
//! use starweir_model::{DataType, Options, TableColumn, TableId, TableSchema};
//!
//! let columns = vec![TableColumn::new("id", DataType::string())];
//! let schema = TableSchema { columns, primary_keys: vec!["id".into()], ..TableSchema::default() };
//! let options = Options::parse(message_definitions("canal-json").unwrap(), []).unwrap();
//! let table = TableId::in_schema("shop", "orders");
//! assert!(message_encoder("canal-json", &table, &schema, &options).is_ok());
//! ```

mod canal;
mod connect;
mod debezium;
mod key;

use starweir_model::{ChangeBatch, Error, OptionDef, Options, Result, RowKind, TableId, TableSchema};

use crate::Encoder;
use crate::options::{CAPTURED, CAPTURED_DEBEZIUM, unknown_among};
use crate::write::{Cells, Style, quoted, write_object};

/// The formats of messages.
pub const MESSAGE_FORMATS: &[&str] = &["debezium-json", "canal-json"];
/// The formats of keys.
pub const KEY_FORMATS: &[&str] = &["json", "csv"];

/// The options of a message format, names without the format's prefix; None for an unknown format.
pub fn message_definitions(format: &str) -> Option<&'static [OptionDef]> {
    match format {
        "debezium-json" => Some(CAPTURED_DEBEZIUM),
        "canal-json" => Some(CAPTURED),
        _ => None,
    }
}

/// The options of a key format, names without the format's prefix; None for an unknown format.
pub fn key_definitions(format: &str) -> Option<&'static [OptionDef]> {
    match format {
        "json" => Some(CAPTURED),
        "csv" => Some(&[]),
        _ => None,
    }
}

/// An encoder of a table's changes as messages; `options` were parsed with [`message_definitions`].
///
/// # Errors
/// An unknown format.
pub fn message_encoder(
    format: &str,
    table: &TableId,
    schema: &TableSchema,
    options: &Options,
) -> Result<Box<dyn Encoder>> {
    match format {
        "debezium-json" => Ok(Box::new(debezium::DebeziumMessages::new(table, schema, options))),
        "canal-json" => Ok(Box::new(canal::CanalMessages::new(table, schema, options))),
        _ => Err(unknown_among(format, MESSAGE_FORMATS)),
    }
}

/// An encoder of the keys that go with a table's messages: the table's id and the primary key of the row as it is
/// after the change (a deletion: as it was before). `options` were parsed with [`key_definitions`].
///
/// # Errors
/// An unknown format, or a primary key that names no column.
pub fn key_encoder(format: &str, table: &TableId, schema: &TableSchema, options: &Options) -> Result<Box<dyn Encoder>> {
    match format {
        "json" => Ok(Box::new(key::JsonKeys::new(table, schema, options)?)),
        "csv" => Ok(Box::new(key::CsvKeys::new(table, schema)?)),
        _ => Err(unknown_among(format, KEY_FORMATS)),
    }
}

/// One change by where its rows stand in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Insert(usize),
    /// Without `before`: a replacement.
    Update {
        before: Option<usize>,
        after: usize,
    },
    Delete(usize),
}

/// Calls `write` for each change of the batch, in order.
fn for_each_change(batch: &ChangeBatch, mut write: impl FnMut(Change) -> Result<()>) -> Result<()> {
    let torn = || Error::internal("a batch has an update's old row without its new row");
    let mut before = None;
    for row in 0..batch.rows() {
        let kind = batch.kinds.at(row);
        if before.is_some() && kind != RowKind::UpdateAfter {
            return Err(torn());
        }
        match kind {
            RowKind::Insert => write(Change::Insert(row))?,
            RowKind::UpdateBefore => before = Some(row),
            RowKind::UpdateAfter => write(Change::Update { before: before.take(), after: row })?,
            RowKind::Delete => write(Change::Delete(row))?,
        }
    }
    if before.is_some() { Err(torn()) } else { Ok(()) }
}

/// The columns of a table and how their values are written.
struct Row {
    /// As JSON strings.
    names: Vec<Vec<u8>>,
    style: Style,
}

impl Row {
    fn new(schema: &TableSchema, options: &Options) -> Self {
        Self { names: schema.columns.iter().map(|c| quoted(&c.name)).collect(), style: style(options) }
    }

    /// The batch's columns, those of the table only.
    fn cells<'a>(&self, batch: &'a ChangeBatch) -> Result<Vec<Cells<'a>>> {
        cells(batch, 0..self.names.len())
    }

    fn write(&self, cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
        write_object(self.names.iter().map(Vec::as_slice).zip(cells), row, &self.style, out)
    }
}

fn style(options: &Options) -> Style {
    // Flink counts the seconds of a TIME and drops its fraction, whatever the declared precision.
    let mut style = Style::from_options(options);
    style.whole_seconds = true;
    style
}

fn cells(batch: &ChangeBatch, columns: impl Iterator<Item = usize>) -> Result<Vec<Cells<'_>>> {
    columns
        .map(|at| match batch.batch.columns().get(at) {
            Some(array) => Cells::new(array),
            None => Err(Error::internal("a batch has fewer columns than its table")),
        })
        .collect()
}

/// Appends `"name":text,` for each text; absent ones are null, or left out.
fn texts(members: &[(&str, Option<&str>)], skip_nulls: bool, out: &mut Vec<u8>) {
    for (name, text) in members {
        if text.is_none() && skip_nulls {
            continue;
        }
        out.extend_from_slice(&quoted(name));
        out.push(b':');
        match text {
            Some(text) => out.extend_from_slice(&quoted(text)),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, Time64MicrosecondArray};
    use starweir_model::{RowKinds, TableColumn};

    use super::*;

    fn schema() -> TableSchema {
        let column = |name: &str, of: &str| TableColumn::new(name, of.parse().unwrap());
        TableSchema {
            columns: vec![column("id", "INT NOT NULL"), column("a\"b", "STRING"), column("t", "TIME(6)")],
            primary_keys: vec!["id".into()],
            ..TableSchema::default()
        }
    }

    fn batch(rows: &[(RowKind, i32, Option<&str>)]) -> ChangeBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1))),
            Arc::new(rows.iter().map(|r| r.2).collect::<StringArray>()),
            Arc::new(Time64MicrosecondArray::from_iter_values(rows.iter().map(|_| 3_600_200_000))),
        ];
        let batch = RecordBatch::try_new(schema().to_arrow(), columns).unwrap();
        ChangeBatch::new(batch, RowKinds::from_vec(rows.iter().map(|r| r.0).collect()))
    }

    fn records(encoder: &mut dyn Encoder, batch: &ChangeBatch) -> Result<Vec<String>> {
        let (mut out, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
        encoder.encode(batch, &mut out, &mut ends)?;
        Ok(ends
            .into_iter()
            .map(|end| String::from_utf8(out[std::mem::replace(&mut start, end)..end].to_vec()).unwrap())
            .collect())
    }

    const ALL: &[(RowKind, i32, Option<&str>)] = &[
        (RowKind::Insert, 1, Some("x")),
        (RowKind::UpdateBefore, 1, Some("x")),
        (RowKind::UpdateAfter, 2, None),
        (RowKind::UpdateAfter, 2, Some("z")),
        (RowKind::Delete, 2, Some("z")),
    ];

    fn check(format: &str, given: &[(&str, &str)], table: &str, expected: &[&str]) {
        let definitions = message_definitions(format).unwrap();
        let given = given.iter().map(|(k, v)| (*k, *v));
        let options = Options::parse(definitions, given).unwrap();
        let mut encoder = message_encoder(format, &table.parse().unwrap(), &schema(), &options).unwrap();
        assert_eq!(records(&mut *encoder, &batch(ALL)).unwrap(), expected);
    }

    #[test]
    fn debezium_messages_hold_both_images_and_the_source() {
        check(
            "debezium-json",
            &[],
            "n.d.t",
            &[
                r#"{"before":null,"after":{"id":1,"a\"b":"x","t":"01:00:00"},"op":"c","source":{"db":"d","table":"t"}}"#,
                concat!(
                    r#"{"before":{"id":1,"a\"b":"x","t":"01:00:00"},"after":{"id":2,"a\"b":null,"t":"01:00:00"},"#,
                    r#""op":"u","source":{"db":"d","table":"t"}}"#
                ),
                r#"{"before":null,"after":{"id":2,"a\"b":"z","t":"01:00:00"},"op":"u","source":{"db":"d","table":"t"}}"#,
                r#"{"before":{"id":2,"a\"b":"z","t":"01:00:00"},"after":null,"op":"d","source":{"db":"d","table":"t"}}"#,
            ],
        );
    }

    #[test]
    fn canal_messages_hold_whole_old_rows_and_the_key_names() {
        let end = r#""database":null,"table":"t","pkNames":["id"]}"#;
        check(
            "canal-json",
            &[],
            "t",
            &[
                &format!(r#"{{"old":null,"data":[{{"id":1,"a\"b":"x","t":"01:00:00"}}],"type":"INSERT",{end}"#),
                &format!(
                    concat!(
                        r#"{{"old":[{{"id":1,"a\"b":"x","t":"01:00:00"}}],"#,
                        r#""data":[{{"id":2,"a\"b":null,"t":"01:00:00"}}],"type":"UPDATE",{}"#
                    ),
                    end
                ),
                &format!(r#"{{"old":null,"data":[{{"id":2,"a\"b":"z","t":"01:00:00"}}],"type":"UPDATE",{end}"#),
                &format!(r#"{{"old":null,"data":[{{"id":2,"a\"b":"z","t":"01:00:00"}}],"type":"DELETE",{end}"#),
            ],
        );
    }

    #[test]
    fn null_fields_are_left_out_at_every_level_when_asked() {
        let skip = [("encode.ignore-null-fields", "true")];
        check(
            "debezium-json",
            &skip,
            "t",
            &[
                r#"{"after":{"id":1,"a\"b":"x","t":"01:00:00"},"op":"c","source":{"table":"t"}}"#,
                concat!(
                    r#"{"before":{"id":1,"a\"b":"x","t":"01:00:00"},"after":{"id":2,"t":"01:00:00"},"#,
                    r#""op":"u","source":{"table":"t"}}"#
                ),
                r#"{"after":{"id":2,"a\"b":"z","t":"01:00:00"},"op":"u","source":{"table":"t"}}"#,
                r#"{"before":{"id":2,"a\"b":"z","t":"01:00:00"},"op":"d","source":{"table":"t"}}"#,
            ],
        );
    }

    #[test]
    fn keys_are_of_the_new_row_and_of_the_old_one_for_deletions() {
        let id: TableId = "a_long_namespace.schema.t".parse().unwrap();
        for (format, expected) in [
            ("csv", ["1", "2", "2", "2"].map(|id| format!("\"a_long_namespace.schema.t\",{id}"))),
            ("json", ["1", "2", "2", "2"].map(|id| format!(r#"{{"TableId":"a_long_namespace.schema.t","id":{id}}}"#))),
        ] {
            let options = Options::parse(key_definitions(format).unwrap(), []).unwrap();
            let mut encoder = key_encoder(format, &id, &schema(), &options).unwrap();
            assert_eq!(records(&mut *encoder, &batch(ALL)).unwrap(), expected);
        }
    }

    #[test]
    fn a_table_without_key_has_its_id_as_key() {
        let schema = TableSchema { primary_keys: Vec::new(), ..schema() };
        for (format, expected) in [("csv", "d.t"), ("json", r#"{"TableId":"d.t"}"#)] {
            let options = Options::parse(key_definitions(format).unwrap(), []).unwrap();
            let mut encoder = key_encoder(format, &TableId::in_schema("d", "t"), &schema, &options).unwrap();
            assert_eq!(records(&mut *encoder, &batch(&ALL[..1])).unwrap(), [expected]);
        }
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let row = |n: i32| {
            format!(
                concat!(
                    r#"{{"i":{n},"f":0.1,"d":1.0E10,"m":12.50,"s":"a\n\"","b":"AQID","day":"1969-12-31","t":"23:59:59","#,
                    r#""at":"1960-01-01 00:00:00.5","z":"2023-01-01 00:00:00Z","l":["x",null],"k":{{"a":{n}}},"#,
                    r#""r":{{"p":true,"q":null}}}}"#
                ),
                n = n
            )
        };
        let types = [
            ("i", "INT NOT NULL"),
            ("f", "FLOAT"),
            ("d", "DOUBLE"),
            ("m", "DECIMAL(10, 2)"),
            ("s", "STRING"),
            ("b", "BYTES"),
            ("day", "DATE"),
            ("t", "TIME(0)"),
            ("at", "TIMESTAMP(3)"),
            ("z", "TIMESTAMP_LTZ(6)"),
            ("l", "ARRAY<STRING>"),
            ("k", "MAP<STRING, INT>"),
            ("r", "ROW<`p` BOOLEAN, `q` STRING>"),
        ];
        let columns: Vec<_> = types.iter().map(|(name, of)| TableColumn::new(*name, of.parse().unwrap())).collect();
        let declared = columns.iter().map(|c| starweir_model::Column::new(&c.name, c.data_type.clone())).collect();
        let table = TableSchema { columns, primary_keys: vec!["i".into()], ..TableSchema::default() };
        let mut schema = Vec::new();
        connect::write_schema(&table, &mut schema);
        let debezium =
            format!(r#"{{"before":{},"after":{},"op":"u","source":{{"db":"d","table":"t"}}}}"#, row(1), row(2));
        let wrapped = format!(r#"{{"schema":{},"payload":{debezium}}}"#, String::from_utf8(schema).unwrap());
        let canal = format!(
            r#"{{"old":[{}],"data":[{}],"type":"UPDATE","database":"d","table":"t","pkNames":["i"]}}"#,
            row(1),
            row(2)
        );
        let declared = starweir_model::Schema::new(declared);
        for (format, given, message) in [
            ("debezium-json", &[][..], debezium),
            ("debezium-json", &[("include-schema.enabled", "true")], wrapped),
            ("canal-json", &[], canal),
        ] {
            let options = Options::parse(crate::definitions(format).unwrap(), []).unwrap();
            let mut decoder = crate::decoder(format, &declared, &[], &options).unwrap();
            assert_eq!(decoder.decode(message.as_bytes()).unwrap(), 2);
            let options = Options::parse(message_definitions(format).unwrap(), given.iter().copied()).unwrap();
            let mut encoder = message_encoder(format, &TableId::in_schema("d", "t"), &table, &options).unwrap();
            assert_eq!(records(&mut *encoder, &decoder.finish().unwrap()).unwrap(), [message]);
        }
    }

    #[test]
    fn half_an_update_is_refused_rather_than_lost() {
        let options = Options::parse(CAPTURED, []).unwrap();
        for rows in [&ALL[1..2], &[ALL[1], ALL[0]]] {
            let mut encoder = message_encoder("canal-json", &TableId::table("t"), &schema(), &options).unwrap();
            assert!(records(&mut *encoder, &batch(rows)).is_err());
        }
    }

    #[test]
    fn formats_there_are_not_are_refused_with_a_suggestion() {
        let options = Options::parse(CAPTURED, []).unwrap();
        let table = TableId::table("t");
        let refused = |made: Result<Box<dyn Encoder>>| made.err().map(|e| e.chain()).unwrap_or_default();
        assert!(refused(message_encoder("canal", &table, &schema(), &options)).contains("canal-json"));
        assert!(refused(key_encoder("avro", &table, &schema(), &options)).contains("json, csv"));
        let schema = TableSchema { primary_keys: vec!["nowhere".into()], ..schema() };
        assert!(refused(key_encoder("csv", &table, &schema, &options)).contains("nowhere"));
    }
}
