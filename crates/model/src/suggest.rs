//! "Did you mean …?": the nearest known name.

/// The known name nearest to `name`, if one is near enough to be what was meant. Case does not
/// count. Near enough: at most a third of the name's characters differ (one for short names), or
/// one contains the other from its start.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let distance = strsim::damerau_levenshtein(&wanted, &lower);
            let prefix = wanted.len() >= 4 && (lower.starts_with(&wanted) || wanted.starts_with(&lower));
            (if prefix { distance.min(allowed) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_name_and_nonsense_finds_none() {
        let known = ["load-url", "jdbc-url", "table-name"];
        assert_eq!(nearest("laod-url", known), Some("load-url"));
        assert_eq!(nearest("TABLE-NAM", known), Some("table-name"));
        assert_eq!(nearest("zzz", known), None);
    }
}
