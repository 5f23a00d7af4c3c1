//! Labels: derived, never random, never made anew for a repeat.

use starweir_model::{Epoch, Label, TableName};

/// Makes a table's labels for one attempt.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    base: String,
}

/// The first so many characters of a table's name are shown in its labels.
const NAME_SHOWN: usize = 32;

impl Labels {
    /// `prefix` is the user's, if any. The table's name is shortened and hashed, so that labels of tables with long
    /// or exotic names differ and fit.
    pub(super) fn new(prefix: Option<&str>, job_id: &str, table: &TableName) -> Self {
        let shown: String = table
            .table
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
            .take(NAME_SHOWN)
            .collect();
        // FNV-1a: the same on every machine and in every version.
        let hash = table
            .to_string()
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
        Self { base: format!("{}-{job_id}-{shown}-{:08x}", prefix.unwrap_or("starweir"), hash as u32) }
    }

    /// Of the transaction that an epoch prepares.
    pub(super) fn of_epoch(&self, epoch: Epoch, generation: u64) -> Label {
        self.make(format!("e{epoch}-g{generation}"))
    }

    /// Of a part of an epoch's journal.
    pub(super) fn of_journal(&self, epoch: Epoch, part: usize, generation: u64) -> Label {
        self.make(format!("e{epoch}-p{part}-g{generation}"))
    }

    /// Of the nth commit of an attempt, with at-least-once delivery.
    pub(super) fn of_commit(&self, number: u64, generation: u64) -> Label {
        self.make(format!("a{number}-g{generation}"))
    }

    /// Of the nth transaction of an attempt that is only tried.
    pub(super) fn of_trial(&self, number: u64, generation: u64) -> Label {
        self.make(format!("t{number}-g{generation}"))
    }

    fn make(&self, rest: String) -> Label {
        let text = format!("{}-{rest}", self.base);
        // Prefix ≤ 48, job id 8, name ≤ 32, hash 8, numbers ≤ 2 × 20: at most 128 for numbers of sane size.
        let cut: String = text.chars().rev().take(Label::LENGTH_MAX).collect::<Vec<_>>().into_iter().rev().collect();
        Label::new(cut).unwrap_or_else(|| unreachable!("a label is made of letters, digits, - and _"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_same_for_the_same_facts_and_differ_otherwise() {
        let labels = |table: &str| Labels::new(None, "ab12cd34", &TableName::new("shop", table));
        let orders = labels("orders");
        assert_eq!(orders.of_epoch(Epoch(7), 2), labels("orders").of_epoch(Epoch(7), 2));
        let all = [
            orders.of_epoch(Epoch(7), 2),
            orders.of_epoch(Epoch(7), 3),
            orders.of_epoch(Epoch(8), 2),
            orders.of_journal(Epoch(7), 0, 2),
            orders.of_commit(7, 2),
            orders.of_trial(7, 2),
            labels("órdèrs").of_epoch(Epoch(7), 2),
            labels("_rd_rs").of_epoch(Epoch(7), 2),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
        assert!(all[0].as_str().starts_with("starweir-ab12cd34-orders-"), "{}", all[0]);
    }

    #[test]
    fn the_longest_names_still_make_labels() {
        let long = Labels::new(Some(&"p".repeat(48)), "ab12cd34", &TableName::new("d", "täble".repeat(200)));
        assert!(long.of_journal(Epoch(u64::MAX), usize::MAX, u64::MAX).as_str().len() <= Label::LENGTH_MAX);
        assert_ne!(long.of_epoch(Epoch(1), 1), long.of_epoch(Epoch(1), 2));
    }
}
