//! What connectors with a `format` option share: which columns the decoder gives, which the connector adds, and
//! the order they leave in.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use starweir_formats::Decoder;
use starweir_model::option::OptionError;
use starweir_model::{ChangeBatch, DataType, Error, OptionDef, OptionType, Options, Result, Schema, nearest};

use crate::registry::{Changelog, SourceRequest, Wanted};

/// A format chosen by a table's options, and how its columns become the ones the query wants.
#[derive(Clone)]
pub(crate) struct FormatPlan {
    pub format: String,
    options: Options,
    /// What the decoder gives.
    decoded: Schema,
    metadata: Vec<(String, DataType)>,
    /// For each produced column.
    slots: Vec<Slot>,
    pub produced: SchemaRef,
    pub changelog: Changelog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Column of the decoder's batch.
    Decoded(usize),
    /// Column the connector adds: position in the `own` list given to [`FormatPlan::new`].
    Own(usize),
}

/// Splits a table's options into those of the connector and those of its format (`<format>.<name>`, with `prefix`
/// before it for `value.` and `key.` forms), checks both, and reports every mistake.
pub(crate) fn split_options(
    connector: &[OptionDef],
    format_options: &[&str],
    given: &[(String, String)],
) -> (Result<Options, Vec<OptionError>>, Vec<FormatChoice>) {
    let format_of = |key: &str| given.iter().find(|(k, _)| k == key).map(|(_, v)| v.trim().to_lowercase());
    let choices: Vec<FormatChoice> = format_options
        .iter()
        .filter_map(|key| {
            let format = format_of(key)?;
            let lead = key.strip_suffix("format").unwrap_or_default();
            Some(FormatChoice { key: (*key).to_owned(), prefix: format!("{lead}{format}."), format, given: Vec::new() })
        })
        .collect();
    let mut choices = choices;
    let mut rest = Vec::new();
    for (key, value) in given {
        let choice = choices.iter_mut().find(|c| key.starts_with(&c.prefix));
        match choice {
            Some(choice) => choice.given.push((key[choice.prefix.len()..].to_owned(), value.clone())),
            None => rest.push((key.as_str(), value.as_str())),
        }
    }
    (Options::parse(connector, rest), choices)
}

/// A format as chosen by an option, with the options that belong to it.
pub(crate) struct FormatChoice {
    /// `format`, `value.format` or `key.format`.
    pub key: String,
    pub format: String,
    /// `json.`, `value.json.`, …
    prefix: String,
    given: Vec<(String, String)>,
}

impl FormatChoice {
    /// The format's options, checked.
    pub fn options(&self) -> Result<Options, Vec<OptionError>> {
        let Some(definitions) = starweir_formats::definitions(&self.format) else {
            let known = starweir_formats::FORMATS;
            return Err(vec![OptionError {
                option: self.key.clone(),
                message: format!("unknown format '{}': known are {}", self.format, known.join(", ")),
                hint: nearest(&self.format, known.iter().copied()).map(|f| format!("did you mean '{f}'?")),
            }]);
        };
        Options::parse(definitions, self.given.iter().map(|(k, v)| (k.as_str(), v.as_str()))).map_err(|errors| {
            let place = |e: OptionError| OptionError {
                message: e.message.replacen(&format!("'{}'", e.option), &format!("'{}{}'", self.prefix, e.option), 1),
                option: format!("{}{}", self.prefix, e.option),
                hint: e.hint.map(|h| h.replacen("did you mean '", &format!("did you mean '{}", self.prefix), 1)),
            };
            errors.into_iter().map(place).collect()
        })
    }
}

/// The option every connector with formats has.
pub(crate) const FORMAT: OptionDef = OptionDef::optional(
    "format",
    OptionType::Text,
    "How a message or line is written: json, csv, raw, debezium-json, canal-json, maxwell-json, ogg-json. The format's own options follow its name: `json.ignore-parse-errors`.",
);

impl FormatPlan {
    /// `own` are the metadata keys the connector fills itself. Physical columns in `elsewhere` are filled by the
    /// connector too (Kafka's key columns): position in the physical schema and in the own list.
    pub(crate) fn new(
        request: &SourceRequest<'_>,
        choice: &FormatChoice,
        own: &[String],
        elsewhere: &[(usize, usize)],
    ) -> Result<Self, Vec<OptionError>> {
        let options = choice.options()?;
        let wrong =
            |message: String, hint: Option<String>| vec![OptionError { option: choice.key.clone(), message, hint }];
        // CSV columns have no names, so all of them are decoded, wanted or not.
        let positional = choice.format == "csv";
        let mut decoded = Schema::default();
        let mut place = vec![None; request.physical.columns.len()];
        let outside = |index: usize| elsewhere.iter().find(|(physical, _)| *physical == index).map(|(_, own)| *own);
        for (index, column) in request.physical.columns.iter().enumerate() {
            let wanted = request.wanted.contains(&Wanted::Physical(index));
            if outside(index).is_none() && (positional || wanted) {
                place[index] = Some(decoded.columns.len());
                decoded.columns.push(column.clone());
            }
        }
        let mut metadata: Vec<(String, DataType)> = Vec::new();
        let mut slots = Vec::new();
        let known = starweir_formats::metadata(&choice.format);
        for wanted in request.wanted {
            slots.push(match wanted {
                Wanted::Physical(index) => match (place[*index], outside(*index)) {
                    (Some(at), _) => Slot::Decoded(at),
                    (None, Some(at)) => Slot::Own(at),
                    (None, None) => return Err(wrong("a column was lost on the way".into(), None)),
                },
                Wanted::Metadata { key, data_type } => match own.iter().position(|k| k == key) {
                    Some(at) => Slot::Own(at),
                    None => {
                        let short = key.strip_prefix("value.").unwrap_or(key);
                        if !known.iter().any(|(k, _)| *k == short) {
                            let names = own.iter().map(String::as_str).chain(known.iter().map(|(k, _)| *k));
                            return Err(wrong(
                                format!("table {} has no metadata column '{key}'", request.table),
                                nearest(key, names).map(|k| format!("did you mean '{k}'?")),
                            ));
                        }
                        metadata.push((short.to_owned(), data_type.clone()));
                        Slot::Decoded(decoded.columns.len() + metadata.len() - 1)
                    }
                },
            });
        }
        let plan = Self {
            changelog: match starweir_formats::changelog_mode(&choice.format) {
                Some(starweir_formats::ChangelogMode::Retract) => Changelog::Retract,
                Some(starweir_formats::ChangelogMode::Upsert) => Changelog::Upsert,
                _ => Changelog::AppendOnly,
            },
            format: choice.format.clone(),
            options,
            decoded,
            metadata,
            slots,
            produced: request.produced().to_arrow(),
        };
        plan.decoder().map_err(|e| wrong(e.chain(), e.hint().map(str::to_owned)))?;
        Ok(plan)
    }

    pub(crate) fn decoder(&self) -> Result<Box<dyn Decoder>> {
        starweir_formats::decoder(&self.format, &self.decoded, &self.metadata, &self.options)
    }

    /// Whether any column comes from the connector itself.
    pub(crate) fn wants_own(&self) -> bool {
        self.slots.iter().any(|s| matches!(s, Slot::Own(_)))
    }

    /// Whether the connector's own column at this position of its list is wanted.
    pub(crate) fn wants(&self, own: usize) -> bool {
        self.slots.contains(&Slot::Own(own))
    }

    /// The batch in the wanted order. `own(position, data type)` makes a column of the connector's.
    pub(crate) fn arrange(
        &self,
        decoded: ChangeBatch,
        mut own: impl FnMut(usize, &arrow::datatypes::DataType) -> Result<ArrayRef>,
    ) -> Result<ChangeBatch> {
        let rows = decoded.rows();
        let mut columns = Vec::with_capacity(self.slots.len());
        for (slot, field) in self.slots.iter().zip(self.produced.fields()) {
            columns.push(match slot {
                Slot::Decoded(at) => decoded.column(*at).clone(),
                Slot::Own(at) => own(*at, field.data_type())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.produced.clone(), columns, &options)
            .map_err(|e| Error::internal("a source's columns do not have the types it promised").with_source(e))?;
        Ok(ChangeBatch { batch, kinds: decoded.kinds, watermark_ms: None })
    }
}

/// A column that repeats one text, cast to the declared type.
pub(crate) fn repeat_text(value: &str, rows: usize, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    let array: ArrayRef = Arc::new(arrow::array::StringArray::from_iter_values(std::iter::repeat_n(value, rows)));
    cast(&array, data_type)
}

/// Arrow's cast, for metadata columns declared with another type of the same kind.
pub(crate) fn cast(array: &ArrayRef, data_type: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    arrow::compute::cast(array, data_type)
        .map_err(|e| Error::user(format!("a metadata column cannot be read as {data_type}")).with_source(e))
}
