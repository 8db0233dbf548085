//! The states of takedown notices, and the fast lane.

use proptest::prelude::*;
use touchstone::domain::{
    Decision, Ground, Lacking, Lane, NoticeSource, NoticeState, Party, TakedownOptions, TakedownRecord,
};

const PARTIES: [Party; 3] = [Party::Marketplace, Party::Moderator, Party::Brand];
const SOURCES: [NoticeSource; 2] = [NoticeSource::Moderation, NoticeSource::Brand];
const DAY: i64 = 24 * 3600;

/// Every allowed change: from, to, source, by whom.
fn changes() -> Vec<(NoticeState, NoticeState, NoticeSource, Party)> {
    let mut all = Vec::new();
    for from in NoticeState::ALL {
        for source in SOURCES {
            for party in PARTIES {
                all.extend(from.next(source, party).into_iter().map(|to| (from, to, source, party)));
            }
        }
    }
    all
}

#[test]
fn nobody_changes_a_state_that_is_not_theirs() {
    use NoticeState::{Acknowledged, Countered, Refused, Rejected, Removed, Restored, Waiting, Withdrawn};
    for (from, to, source, party) in changes() {
        let change = format!("{from:?} to {to:?}, {source:?}, by {party:?}");
        assert_ne!(from, to, "{change}");
        assert_ne!(to, Waiting, "{change}");
        assert!(!matches!(from, Restored | Withdrawn), "an end is an end: {change}");
        match party {
            Party::Marketplace => {
                assert!(matches!(to, Acknowledged | Removed | Refused | Countered | Restored), "{change}");
                assert!(!matches!(from, Waiting | Rejected), "it has not heard of it: {change}");
            }
            Party::Brand => assert_eq!((to, source), (Withdrawn, NoticeSource::Brand), "{change}"),
            // The marketplace alone knows whether a listing was taken down at first, and whether its seller objects.
            Party::Moderator => {
                assert!(!matches!(to, Acknowledged | Refused | Countered), "{change}");
                assert!(!matches!(to, Removed | Restored) || from == Countered, "{change}");
                // A request of moderation falls with its case; a brand's is rejected, with a reason.
                assert_eq!(to == Withdrawn, source == NoticeSource::Moderation && from != Countered, "{change}");
            }
        }
    }
}

#[test]
fn every_state_can_be_reached_and_every_open_one_left() {
    let changes = changes();
    for state in NoticeState::ALL {
        assert!(state == NoticeState::Waiting || changes.iter().any(|(_, to, ..)| *to == state), "{state:?}");
        if state.is_open() {
            assert!(changes.iter().any(|(from, ..)| *from == state), "{state:?}");
        }
        assert!(!state.is_due() || state.is_open());
    }
    let mut actions: Vec<&str> = NoticeState::ALL.map(NoticeState::action).to_vec();
    actions.sort_unstable();
    actions.dedup();
    assert_eq!(actions.len(), NoticeState::ALL.len(), "each state has an event of its own");
}

#[test]
fn only_decisions_that_restrict_are_a_ground() {
    for decision in Decision::ALL {
        assert_eq!(Ground::of(decision).is_some(), decision.restricts(), "{decision:?}");
    }
}

fn record() -> impl Strategy<Value = TakedownRecord> {
    (0_u64..60, 0_u64..60, 0_u64..8).prop_map(|(refused, removed, restored)| TakedownRecord {
        answered: refused + removed + restored,
        removed,
        restored,
    })
}

proptest! {
    /// Whatever anybody tries, in any order.
    #[test]
    fn a_listing_is_restored_only_after_it_was_removed(tries in proptest::collection::vec((0_usize..9, 0_usize..3), 0..40), own in any::<bool>()) {
        let source = SOURCES[usize::from(own)];
        let mut state = if own { NoticeState::Waiting } else { NoticeState::Requested };
        let mut seen = vec![state];
        for (to, party) in tries {
            let (to, party) = (NoticeState::ALL[to], PARTIES[party]);
            if state.next(source, party).contains(&to) {
                state = to;
                seen.push(state);
            }
        }
        let first = |wanted: NoticeState| seen.iter().position(|state| *state == wanted);
        for (later, earlier) in [
            (NoticeState::Restored, NoticeState::Removed),
            (NoticeState::Countered, NoticeState::Removed),
            (NoticeState::Removed, NoticeState::Requested),
            (NoticeState::Refused, NoticeState::Requested),
        ] {
            prop_assert!(first(later).is_none_or(|at| first(earlier).is_some_and(|before| before < at)), "{seen:?}");
        }
    }

    /// A place is given for good figures only, ends with them, and after bad figures not for three months.
    #[test]
    fn the_fast_lane_keeps_its_rules(looks in proptest::collection::vec((record(), 0_i64..60), 1..40)) {
        let options = TakedownOptions::default();
        let (mut lane, mut now, mut left): (Lane, i64, Option<i64>) = (Lane::default(), 0, None);
        for (record, days) in looks {
            now += days * DAY;
            let (was, lacking) = (lane, record.lacking(&options));
            lane = lane.after(&record, &options, now);
            prop_assert!(!lane.fast || lacking.is_empty());
            if was.fast && !lane.fast {
                let few = lacking.contains(&Lacking::Answers);
                prop_assert_eq!(lane.left_at == Some(now), !few, "few figures are not bad ones");
                left = if few { left } else { Some(now) };
            }
            if !was.fast && lane.fast {
                prop_assert!(left.is_none_or(|left| now - left >= 90 * DAY));
            }
            if !lane.fast && lacking.is_empty() {
                prop_assert!(lane.waits(now), "good figures are kept out by the wait only");
            }
            prop_assert_eq!(lane.after(&record, &options, now), lane, "a second look changes nothing");
        }
    }

    #[test]
    fn shares_are_shares(record in record()) {
        for share in [record.success(), record.counter()] {
            prop_assert_eq!(share.is_some(), record.answered > 0);
            prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}
