//! Settings of Debezium that scripts pass through: which of them count, which do not matter here, and which ask for
//! something that would change the rows and is not done.

use starweir_model::RowKind;
use starweir_model::option::OptionError;

/// What `debezium.skipped.operations` leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub updates: bool,
    pub deletes: bool,
}

impl Skipped {
    /// `u,d`; `t` (TRUNCATE) is passed over anyway, as Debezium does by default.
    fn parse(text: &str) -> Option<Self> {
        let mut skipped = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "u" => skipped.updates = true,
                "d" => skipped.deletes = true,
                "t" | "none" | "" => {}
                _ => return None,
            }
        }
        Some(skipped)
    }

    pub fn leaves_out(self, kind: RowKind) -> bool {
        match kind {
            RowKind::Insert => false,
            RowKind::UpdateBefore | RowKind::UpdateAfter => self.updates,
            RowKind::Delete => self.deletes,
        }
    }
}

/// Values of names that are refused otherwise: they ask for what is done anyway.
const HARMLESS: &[(&str, &str)] =
    &[("event.processing.failure.handling.mode", "fail"), ("plugin.name", "pgoutput"), ("slot.drop.on.stop", "false")];

/// Beginnings of names that would change which rows and values come, and what does the same here.
const REFUSED: &[(&str, &str)] = &[
    ("column.exclude.list", "leave the column out of CREATE TABLE"),
    ("column.include.list", "declare only the columns that are wanted"),
    ("column.mask", "leave the column out of CREATE TABLE, or make the masked value in the query"),
    ("column.truncate", "shorten the value in the query, with SUBSTRING"),
    ("converters", "Java classes do not run here; declare the column's type, or convert it in the query"),
    ("database.exclude.list", "'database-name' is a regular expression"),
    ("database.include.list", "'database-name' is a regular expression"),
    ("event.processing.failure.handling.mode", "an event that cannot be read stops the job"),
    ("gtid.source.excludes", "all transactions are read"),
    ("gtid.source.includes", "all transactions are read"),
    ("plugin.name", "use 'decoding.plugin.name'"),
    ("predicates", "Java classes do not run here; filter in the query, with WHERE"),
    ("schema.exclude.list", "use 'schema-name', a regular expression"),
    ("schema.include.list", "use 'schema-name', a regular expression"),
    ("slot.drop.on.stop", "the slot is kept: a restarted job reads on from it"),
    ("slot.name", "use 'slot.name'"),
    ("snapshot.select.statement.overrides", "filter in the query, with WHERE"),
    ("table.exclude.list", "'table-name' is a regular expression"),
    ("table.include.list", "'table-name' is a regular expression"),
    ("transforms", "Java classes do not run here; transform in the query"),
];

/// What `snapshot.mode` may be, since a snapshot is taken anyway; `scan.startup.mode` decides.
const SNAPSHOT_MODES: &[&str] = &["initial", "when_needed"];

/// Looks the settings through; names are without `debezium.`. `counted` are those that the connector reads itself.
pub(crate) fn judge<'a>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
    counted: &[&str],
    errors: &mut Vec<OptionError>,
) -> Skipped {
    let mut skipped = Skipped::default();
    for (name, value) in given {
        let option = || format!("debezium.{name}");
        if name == "skipped.operations" {
            match Skipped::parse(value) {
                Some(found) => skipped = found,
                None => errors.push(OptionError {
                    option: option(),
                    message: format!("option 'debezium.skipped.operations' is '{value}'; it may list u, d and t"),
                    hint: Some("inserts are always read; filter rows in the query, with WHERE".into()),
                }),
            }
        } else if name == "snapshot.mode" {
            if !SNAPSHOT_MODES.contains(&value) {
                errors.push(OptionError {
                    option: option(),
                    message: format!(
                        "option 'debezium.snapshot.mode' is '{value}', and 'scan.startup.mode' decides here"
                    ),
                    hint: Some(startup_instead(value).into()),
                });
            }
        } else if let Some((_, instead)) = REFUSED.iter().find(|(start, _)| name.starts_with(start))
            && !HARMLESS.contains(&(name, value))
        {
            errors.push(OptionError {
                option: option(),
                message: format!("option 'debezium.{name}' is not supported"),
                hint: Some((*instead).into()),
            });
        } else if !counted.contains(&name) && !HARMLESS.contains(&(name, value)) {
            tracing::warn!("option 'debezium.{name}' has no effect: Debezium is not part of Starweir");
        }
    }
    skipped
}

fn startup_instead(mode: &str) -> &'static str {
    match mode {
        "initial_only" => "use 'scan.startup.mode' = 'snapshot'",
        "never" | "schema_only" | "no_data" => {
            "use 'scan.startup.mode' = 'latest-offset'; 'committed-offset' goes on where a PostgreSQL slot stands"
        }
        _ => "use 'scan.startup.mode'",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_rows_is_refused_and_the_rest_is_not() {
        for (name, value, refused) in [
            ("snapshot.mode", "initial", false),
            ("snapshot.mode", "never", true),
            ("column.mask.with.12.chars", "shop.users.name", true),
            ("column.exclude.list", "shop.users.name", true),
            ("converters", "mine", true),
            ("skipped.operations", "d", false),
            ("skipped.operations", "c", true),
            ("slot.drop.on.stop", "true", true),
            ("slot.drop.on.stop", "false", false),
            ("max.batch.size", "4096", false),
            ("decimal.handling.mode", "string", false),
            ("enable.time.adjuster", "true", false),
        ] {
            let mut errors = Vec::new();
            judge([(name, value)].into_iter(), &["enable.time.adjuster"], &mut errors);
            assert_eq!(!errors.is_empty(), refused, "{name} = {value}: {errors:?}");
            assert!(errors.iter().all(|e| e.hint.is_some() && e.option == format!("debezium.{name}")));
        }
        let skipped = judge([("skipped.operations", "u, d")].into_iter(), &[], &mut Vec::new());
        assert_eq!(skipped, Skipped { updates: true, deletes: true });
        assert!(skipped.leaves_out(RowKind::UpdateBefore) && !skipped.leaves_out(RowKind::Insert));
    }
}
