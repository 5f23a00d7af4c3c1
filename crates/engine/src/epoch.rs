//! The epoch protocol as pure decisions: what can lose or double a row is decided here and nowhere else.
//!
//! 1. *cut*: every worker stops between two batches, notes its offsets and sends a barrier to each sink.
//! 2. *prepare*: a sink that has the barriers of all its workers makes the epoch's rows certain to be committable.
//! 3. *manifest*: offsets and tokens are written atomically. **This write is the commit point.**
//! 4. *commit*: tokens are committed, again and again if need be, until the server says so.
//! 5. *acknowledge*: sources may forget.
//!
//! No commit before the manifest, no acknowledgement before the commit. Rows of the next epoch may already be loaded
//! (never prepared) while an epoch is being committed, so a restart finds at most two epochs of unfinished
//! transactions after the manifest's.

use crate::sink::TokenState;

/// The named places of the protocol, in order. A process can be made to die at each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EpochStep {
    /// Recovery has read the manifest and has not yet asked about its tokens.
    RecoverRead,
    /// Recovery is about to commit what the manifest holds.
    RecoverCommit,
    /// A cut was asked for.
    Cut,
    /// A sink has the epoch's barriers and has not prepared.
    BeforePrepare,
    /// All sinks have prepared; the manifest is not written.
    BeforeManifest,
    /// The manifest is written; nothing is committed.
    BeforeCommit,
    /// One token is committed, others may not be.
    BetweenCommits,
    /// All is committed; no source was told.
    BeforeAcknowledge,
    /// The epoch is over.
    AfterAcknowledge,
}

impl EpochStep {
    pub const ALL: [EpochStep; 9] = [
        Self::RecoverRead,
        Self::RecoverCommit,
        Self::Cut,
        Self::BeforePrepare,
        Self::BeforeManifest,
        Self::BeforeCommit,
        Self::BetweenCommits,
        Self::BeforeAcknowledge,
        Self::AfterAcknowledge,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RecoverRead => "recover-read",
            Self::RecoverCommit => "recover-commit",
            Self::Cut => "cut",
            Self::BeforePrepare => "before-prepare",
            Self::BeforeManifest => "before-manifest",
            Self::BeforeCommit => "before-commit",
            Self::BetweenCommits => "between-commits",
            Self::BeforeAcknowledge => "before-acknowledge",
            Self::AfterAcknowledge => "after-acknowledge",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// What a restart does with the tokens of the last manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryDecision {
    /// Commit every token that is not yet committed, then go on after this epoch.
    Commit,
    /// Nothing of the epoch became visible and some of it never can: abort the rest and read again from the epoch
    /// before.
    Rewind,
    /// Going on would lose or double rows. A person has to decide.
    Stop(StopReason),
}

/// Why a restart stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The server knows nothing of a transaction we prepared.
    Unknown,
    /// A transaction we prepared is back in the begun state.
    Contradiction,
    /// Part of the epoch is visible, another part was given up by the server.
    PartlyCommitted,
    /// The epoch was given up by the server and there is no earlier one to go back to.
    NothingToRewindTo,
}

impl StopReason {
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => {
                "the server no longer knows a transaction that was prepared: it was committed and forgotten, or lost"
            }
            Self::Contradiction => "a transaction that was prepared is no longer prepared",
            Self::PartlyCommitted => {
                "some tables of the last epoch are committed, for others the server gave the prepared transaction up"
            }
            Self::NothingToRewindTo => {
                "the server gave the prepared transactions of the last epoch up and no earlier epoch is kept"
            }
        }
    }
}

/// Decides what a restart does, from what the server says of each token of the last manifest and whether the epoch
/// before it is still kept. Unknown and contradictory states win over everything: they are never skipped.
pub fn decide_recovery(states: &[TokenState], previous_kept: bool) -> RecoveryDecision {
    use TokenState::*;
    let any = |state| states.contains(&state);
    if any(Unknown) {
        return RecoveryDecision::Stop(StopReason::Unknown);
    }
    if any(InProgress) {
        return RecoveryDecision::Stop(StopReason::Contradiction);
    }
    if !any(Aborted) {
        return RecoveryDecision::Commit;
    }
    if any(Committed) {
        return RecoveryDecision::Stop(StopReason::PartlyCommitted);
    }
    if previous_kept { RecoveryDecision::Rewind } else { RecoveryDecision::Stop(StopReason::NothingToRewindTo) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TokenState::*;

    #[test]
    fn recovery_never_skips_and_never_doubles() {
        let commit = RecoveryDecision::Commit;
        let rewind = RecoveryDecision::Rewind;
        let stop = RecoveryDecision::Stop;
        let rows: &[(&[TokenState], bool, RecoveryDecision)] = &[
            (&[], true, commit),
            (&[], false, commit),
            (&[Prepared], true, commit),
            (&[Committed], true, commit),
            (&[Resendable], true, commit),
            (&[Prepared, Committed, Resendable], false, commit),
            (&[Aborted], true, rewind),
            (&[Aborted, Aborted], true, rewind),
            (&[Aborted, Prepared], true, rewind),
            (&[Aborted, Resendable], true, rewind),
            (&[Aborted], false, stop(StopReason::NothingToRewindTo)),
            (&[Aborted, Committed], true, stop(StopReason::PartlyCommitted)),
            (&[Aborted, Prepared, Committed], true, stop(StopReason::PartlyCommitted)),
            (&[Unknown], true, stop(StopReason::Unknown)),
            (&[Unknown, Committed], true, stop(StopReason::Unknown)),
            (&[Unknown, Aborted], true, stop(StopReason::Unknown)),
            (&[InProgress], true, stop(StopReason::Contradiction)),
            (&[InProgress, Unknown], true, stop(StopReason::Unknown)),
            (&[InProgress, Prepared], true, stop(StopReason::Contradiction)),
        ];
        for (states, previous_kept, expected) in rows {
            assert_eq!(decide_recovery(states, *previous_kept), *expected, "{states:?} previous kept: {previous_kept}");
        }
    }

    #[test]
    fn every_pair_of_states_has_the_same_answer_in_either_order() {
        let all = [Committed, Prepared, Resendable, InProgress, Aborted, Unknown];
        for a in all {
            for b in all {
                for kept in [true, false] {
                    assert_eq!(decide_recovery(&[a, b], kept), decide_recovery(&[b, a], kept), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn every_step_is_found_by_its_name() {
        for step in EpochStep::ALL {
            assert_eq!(EpochStep::from_name(step.name()), Some(step));
        }
    }
}
