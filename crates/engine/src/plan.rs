//! A changed script against the state it finds: what may go on, what is refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::SourceState;

/// What of a new job graph has to do with the manifest it starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanComparison {
    /// Sentences for the user; the job goes on.
    pub notes: Vec<String>,
    /// Reasons why it does not.
    pub refusals: Vec<String>,
}

/// Compares the sources (id → identity), sinks and plans of a job with what its manifest was written for.
///
/// Projections and filters keep no state, so they may change; what is written follows the new plan from the next
/// epoch on. A source may come or go. Offsets of a source that reads something else now would be meaningless, so
/// that is refused.
pub fn compare_plans(
    old_sources: &BTreeMap<String, SourceState>,
    old_sinks: &BTreeSet<String>,
    old_plans: &[String],
    new_sources: &BTreeMap<String, String>,
    new_sinks: &BTreeSet<String>,
    new_plans: &[String],
) -> PlanComparison {
    let mut result = PlanComparison::default();
    for (id, state) in old_sources {
        match new_sources.get(id) {
            None => result.notes.push(format!("source {id} is gone; its position is dropped")),
            Some(identity) if *identity != state.identity => result.refusals.push(format!(
                "source {id} was `{}` and is now `{identity}`: its saved position means nothing there",
                state.identity
            )),
            Some(_) => {}
        }
    }
    for id in new_sources.keys().filter(|id| !old_sources.contains_key(*id)) {
        result.notes.push(format!("source {id} is new and starts where its options say"));
    }
    for id in new_sinks.difference(old_sinks) {
        result.notes.push(format!("target {id} is new and gets rows from the saved position on, not from the start"));
    }
    for id in old_sinks.difference(new_sinks) {
        result.notes.push(format!("target {id} is no longer written"));
    }
    let sources_same = new_sources.keys().eq(old_sources.keys());
    if sources_same && new_sinks == old_sinks && old_plans != new_plans {
        result.notes.push("the queries changed; rows from the saved position on follow the new ones".into());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(list: &[(&str, &str)]) -> BTreeMap<String, SourceState> {
        let state = |identity: &str| SourceState { identity: identity.into(), ..SourceState::default() };
        list.iter().map(|(id, identity)| (id.to_string(), state(identity))).collect()
    }

    fn identities(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(id, identity)| (id.to_string(), identity.to_string())).collect()
    }

    #[test]
    fn only_a_source_that_reads_something_else_is_refused() {
        let sinks = BTreeSet::from(["t".to_string()]);
        let plan = |text: &str| vec![text.to_string()];
        let check = |old: &[(&str, &str)], new: &[(&str, &str)], notes: usize, refusals: usize| {
            let got = compare_plans(&sources(old), &sinks, &plan("p"), &identities(new), &sinks, &plan("p"));
            assert_eq!((got.notes.len(), got.refusals.len()), (notes, refusals), "{old:?} {new:?}: {got:?}");
        };
        check(&[("s", "kafka a")], &[("s", "kafka a")], 0, 0);
        check(&[("s", "kafka a")], &[("s", "kafka b")], 0, 1);
        check(&[("s", "kafka a")], &[("r", "kafka a")], 2, 0);
        check(&[], &[("r", "kafka a")], 1, 0);
        let same = identities(&[("s", "x")]);
        let got = compare_plans(&sources(&[("s", "x")]), &sinks, &plan("p"), &same, &sinks, &plan("q"));
        assert_eq!((got.notes.len(), got.refusals.len()), (1, 0));
        let more = BTreeSet::from(["t".to_string(), "u".to_string()]);
        let got = compare_plans(&sources(&[("s", "x")]), &sinks, &plan("p"), &same, &more, &plan("q"));
        assert_eq!((got.notes.len(), got.refusals.len()), (1, 0));
    }
}
