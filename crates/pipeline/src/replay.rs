//! Replays dead letters: each goes once more through the pipeline's rules, as they are now, into its sink tables.

use starweir_engine::{SinkContext, TableRows};
use starweir_model::{
    ChangeBatch, ChangeOp, Epoch, Error, ErrorKind, Result, RowChange, SchemaChange, TableId, TableSchema,
};

use crate::evolution::SchemaState;
use crate::letters::{Letter, LetterBox, LetterFolder};
use crate::rows::batch_of;
use crate::run::PipelineJob;

/// Every letter of a pipeline that waits, in the order in which they were written.
///
/// # Errors
/// The pipeline keeps no letters, or they cannot be read.
pub async fn waiting(job: &PipelineJob) -> Result<Vec<Letter>> {
    let mut letters = match letter_box(job)? {
        LetterBox::Folder(folder) => LetterFolder(folder).list()?,
        LetterBox::Table(table) => {
            let texts = job.sink.read_column(table, &Letter::table_schema(), Letter::COLUMN).await?;
            texts.iter().map(|text| Letter::from_json(text)).collect::<Result<_>>()?
        }
    };
    letters.sort_by(|a, b| (a.written_ms, &a.id).cmp(&(b.written_ms, &b.id)));
    Ok(letters)
}

/// Takes a letter out for good.
pub async fn discard(job: &PipelineJob, letter: &Letter, context: &SinkContext) -> Result<()> {
    match letter_box(job)? {
        LetterBox::Folder(folder) => LetterFolder(folder).remove(&letter.id),
        LetterBox::Table(table) => {
            let schema = Letter::table_schema();
            let row = RowChange { op: ChangeOp::Delete, before: Some(letter.to_row()?), after: None, meta: Vec::new() };
            load(job, table, &schema, &batch_of(&schema, &[row])?, context).await
        }
    }
}

/// Delivers a letter. Returns the sink tables it went to: none when the rules now leave the row out.
///
/// The row replaces what the tables hold under its key. It is delivered at least once: a process that dies in here may
/// have delivered it, and the letter is still there.
///
/// # Errors
/// Kind `Data`: the row is refused again.
pub async fn replay(job: &PipelineJob, letter: &Letter, context: &SinkContext) -> Result<Vec<TableId>> {
    let mut flow = (job.flow)(SchemaState::default())?;
    let create = SchemaChange::CreateTable { table: letter.table.clone(), schema: letter.schema.clone() };
    for change in flow.schema_change(create)? {
        flow.operator().applied(&change)?;
    }
    let rows = TableRows::Changes(vec![letter.change.clone()]);
    let mut tables = Vec::new();
    for (id, batch) in flow.batches(&letter.table, rows, job.sink.wants_metadata())? {
        let schema = flow.sink_schema(&id).cloned().unwrap_or_default();
        load(job, &id, &schema, &batch, context).await?;
        tables.push(id);
    }
    Ok(tables)
}

/// Whether a letter that is still refused has been overtaken: a later one of the same row was delivered, and replaying
/// this one afterwards would take the row back in time.
pub fn is_superseded(refused: &Letter, delivered: &[Letter]) -> bool {
    let Some(key) = refused.key() else { return false };
    delivered.iter().any(|later| {
        later.table == refused.table
            && (later.written_ms, &later.id) > (refused.written_ms, &refused.id)
            && later.key().as_ref() == Some(&key)
    })
}

fn letter_box(job: &PipelineJob) -> Result<&LetterBox> {
    let options = job.letters.as_ref().ok_or_else(|| {
        Error::user("the pipeline keeps no dead letters")
            .with_hint("name their place as the run did: --set pipeline.dead-letters=file:FOLDER")
    })?;
    Ok(&options.to)
}

/// Loads one batch and makes it visible.
async fn load(
    job: &PipelineJob,
    id: &TableId,
    schema: &TableSchema,
    batch: &ChangeBatch,
    context: &SinkContext,
) -> Result<()> {
    let sink = job.sink.table(id, schema)?;
    sink.check().await?;
    let mut encoder = sink.encoder()?;
    encoder.encode(batch)?;
    let Some(chunk) = encoder.take() else { return Ok(()) };
    let mut writer = sink.writer(context, Epoch::FIRST).await?;
    let prepared = async {
        writer.write(chunk).await?;
        writer.prepare(Epoch::FIRST).await
    };
    match prepared.await {
        Ok(tokens) => {
            for token in tokens {
                sink.commit(context, &token).await?;
            }
            Ok(())
        }
        Err(error) => {
            if error.kind == ErrorKind::Data {
                sink.abort_lingering(context, Epoch(0), &[context.generation]).await?;
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use starweir_model::{DataType, LogicalType, TableColumn, Value};

    use super::*;

    fn letter(id: &str, written_ms: i64, table: &str, key: Option<i32>) -> Letter {
        let schema = TableSchema {
            columns: vec![
                TableColumn::new("id", DataType::not_null(LogicalType::Int)),
                TableColumn::new("text", DataType::string()),
            ],
            primary_keys: key.iter().map(|_| "id".to_owned()).collect(),
            ..TableSchema::default()
        };
        let after = Some(vec![key.map_or(Value::Null, Value::Int), Value::string(id)]);
        Letter {
            id: id.into(),
            written_ms,
            pipeline: "p".into(),
            table: TableId::in_schema("shop", table),
            place: String::new(),
            error: String::new(),
            schema,
            change: RowChange { op: ChangeOp::Insert, before: None, after, meta: Vec::new() },
        }
    }

    #[test]
    fn only_a_later_letter_of_the_same_row_overtakes() {
        let refused = letter("b", 5, "orders", Some(1));
        for (delivered, expected) in [
            (letter("c", 5, "orders", Some(1)), true),
            (letter("a", 6, "orders", Some(1)), true),
            (letter("a", 5, "orders", Some(1)), false),
            (letter("c", 4, "orders", Some(1)), false),
            (letter("c", 6, "orders", Some(2)), false),
            (letter("c", 6, "items", Some(1)), false),
            (letter("c", 6, "orders", None), false),
        ] {
            assert_eq!(is_superseded(&refused, std::slice::from_ref(&delivered)), expected, "{delivered:?}");
        }
        assert!(!is_superseded(&letter("b", 5, "orders", None), &[letter("c", 6, "orders", None)]));
    }
}
