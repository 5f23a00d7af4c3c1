//! Routes: which sink tables a source table feeds.
//!
//! The matcher is not the one of table selectors: here the whole `source-table` becomes one regular expression over
//! the id's text (comma: alternative, `.`: a dot, `\.`: any character). Flink CDC: `TableIdRouter`.

use fancy_regex::Regex;
use serde::{Deserialize, Serialize};
use starweir_model::{Error, Result, TableId};

/// One entry of the `route` list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRule {
    pub source_table: String,
    pub sink_table: String,
    /// This text in `sink_table` becomes the source table's name.
    pub replace_symbol: Option<String>,
    pub description: Option<String>,
}

/// What happens when several rules match a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteMode {
    /// Each gives a sink table.
    #[default]
    AllMatch,
    /// The first one counts.
    FirstMatch,
}

/// All routes of a pipeline.
#[derive(Debug)]
pub struct Router {
    rules: Vec<(Regex, RouteRule)>,
    mode: RouteMode,
}

/// `source-table` as one regular expression over the id's text.
pub fn pattern(source_table: &str) -> String {
    let mut pattern = String::new();
    let items: Vec<&str> = source_table.split(',').map(str::trim).collect();
    let mut rest = items.join("|");
    while let Some(at) = rest.find('.') {
        let before = &rest[..at];
        match before.strip_suffix('\\') {
            Some(before) => {
                pattern.push_str(before);
                pattern.push('.');
            }
            None => {
                pattern.push_str(before);
                pattern.push_str("\\.");
            }
        }
        rest.drain(..=at);
    }
    pattern + &rest
}

impl Router {
    /// # Errors
    /// A `source-table` that is no regular expression.
    pub fn new(rules: &[RouteRule], mode: RouteMode) -> Result<Self> {
        let rules = rules
            .iter()
            .map(|rule| {
                let regex = Regex::new(&format!("^(?:{})$", pattern(&rule.source_table))).map_err(|e| {
                    Error::user(format!("source-table '{}' of a route is not a regular expression", rule.source_table))
                        .with_source(e)
                })?;
                Ok((regex, rule.clone()))
            })
            .collect::<Result<_>>()?;
        Ok(Self { rules, mode })
    }

    /// The sink tables of a source table, in the order of the rules; itself when no rule matches.
    ///
    /// # Errors
    /// A sink table's name with more than three parts.
    pub fn route(&self, id: &TableId) -> Result<Vec<TableId>> {
        let text = id.to_string();
        let mut sinks = Vec::new();
        for (regex, rule) in self.matching(&text) {
            let sink = match &rule.replace_symbol {
                Some(symbol) if !symbol.is_empty() => rule.sink_table.replace(symbol, &id.table),
                _ => expand(regex, &text, &rule.sink_table),
            };
            let sink: TableId = sink.parse()?;
            if !sinks.contains(&sink) {
                sinks.push(sink);
            }
        }
        if sinks.is_empty() {
            sinks.push(id.clone());
        }
        Ok(sinks)
    }

    fn matching<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a (Regex, RouteRule)> {
        let limit = match self.mode {
            RouteMode::AllMatch => usize::MAX,
            RouteMode::FirstMatch => 1,
        };
        self.rules.iter().filter(move |(regex, _)| regex.is_match(text).unwrap_or(false)).take(limit)
    }

    /// For each rule the tables it merges, in the order given; rules without tables have an empty group.
    pub fn groups(&self, tables: &[TableId]) -> Vec<Vec<TableId>> {
        let mut groups = vec![Vec::new(); self.rules.len()];
        for id in tables {
            let text = id.to_string();
            for (index, (regex, _)) in self.rules.iter().enumerate() {
                if regex.is_match(&text).unwrap_or(false) {
                    groups[index].push(id.clone());
                    if self.mode == RouteMode::FirstMatch {
                        break;
                    }
                }
            }
        }
        groups
    }
}

/// `$1`, `$2`, … are the expression's groups, as in Java: the longest number that names a group.
fn expand(regex: &Regex, text: &str, template: &str) -> String {
    let Ok(Some(captures)) = regex.captures(text) else { return template.to_owned() };
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let taken = (1..=digits).rev().find(|n| rest[..*n].parse().is_ok_and(|group: usize| group < captures.len()));
        match taken {
            Some(taken) => {
                let group: usize = rest[..taken].parse().unwrap_or(0);
                out.push_str(captures.get(group).map_or("", |m| m.as_str()));
                rest = &rest[taken..];
            }
            None => out.push('$'),
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(source: &str, sink: &str, symbol: Option<&str>) -> RouteRule {
        RouteRule {
            source_table: source.into(),
            sink_table: sink.into(),
            replace_symbol: symbol.map(str::to_owned),
            description: None,
        }
    }

    #[test]
    fn a_source_table_becomes_one_expression_over_the_whole_id() {
        for (source, expected) in [
            ("foo.bar", "foo\\.bar"),
            ("foo.bar, foo.baz", "foo\\.bar|foo\\.baz"),
            ("db.\\.*", "db\\..*"),
            ("db\\.*.t_[0-9]+", "db.*\\.t_[0-9]+"),
        ] {
            assert_eq!(pattern(source), expected);
        }
    }

    #[test]
    fn tables_go_where_their_rules_say() {
        let rules = [
            rule("shop.order_\\.*", "ods.orders", None),
            rule("shop.\\.*", "ods.ods_<>", Some("<>")),
            rule("(\\.*)_x.(\\.*)", "$1.copy_$2", None),
        ];
        let check = |mode, table: &str, expected: &[&str]| {
            let sinks = Router::new(&rules, mode).unwrap().route(&table.parse().unwrap()).unwrap();
            assert_eq!(sinks.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{table}");
        };
        check(RouteMode::AllMatch, "shop.order_1", &["ods.orders", "ods.ods_order_1"]);
        check(RouteMode::FirstMatch, "shop.order_1", &["ods.orders"]);
        check(RouteMode::AllMatch, "shop.users", &["ods.ods_users"]);
        check(RouteMode::AllMatch, "a_x.t", &["a.copy_t"]);
        check(RouteMode::AllMatch, "other.t", &["other.t"]);
    }

    #[test]
    fn under_first_match_a_table_counts_for_one_group() {
        let rules = [rule("a.\\.*", "m.x", None), rule("a.t", "m.y", None)];
        let tables = ["a.t".parse().unwrap(), "a.u".parse().unwrap()];
        let sizes = |mode| Router::new(&rules, mode).unwrap().groups(&tables).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(RouteMode::AllMatch), [2, 1]);
        assert_eq!(sizes(RouteMode::FirstMatch), [2, 0]);
    }
}
