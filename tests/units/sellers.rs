//! Strikes, and what they make of a proposal to close an account.

use jiff::Timestamp;
use proptest::prelude::*;
use touchstone::domain::{ClosureState, NewestClosure, Strike, StrikeGround, StrikeOptions, closure_after, counted};

fn strike(photo: Option<u8>, listing: Option<u8>, strikes: u32, second: i64) -> Strike {
    Strike {
        ground: StrikeGround::Fake,
        strikes,
        check_id: None,
        notice_id: None,
        listing_id: listing.map(|id| id.to_string()),
        brand: None,
        photo: photo.map(|id| id.to_string()),
        at: Timestamp::from_second(second).unwrap(),
    }
}

fn strikes() -> impl Strategy<Value = Vec<Strike>> {
    let one = (prop::option::of(0..4_u8), prop::option::of(0..4_u8), 0..3_u32, 0..100_i64);
    prop::collection::vec(one.prop_map(|(photo, listing, strikes, at)| strike(photo, listing, strikes, at)), 0..12)
}

proptest! {
    #[test]
    fn one_photo_and_one_listing_count_once(all in strikes()) {
        let counts = counted(all.clone());
        for subject in 0..4_u8 {
            let name = Some(subject.to_string());
            prop_assert!(counts.iter().filter(|strike| strike.photo == name).count() <= 1);
            prop_assert!(counts.iter().filter(|strike| strike.listing_id == name).count() <= 1);
        }
        // Nothing is invented, and what names neither counts by itself.
        prop_assert!(counts.iter().all(|strike| all.contains(strike) && strike.strikes > 0));
        let alone = |strike: &&Strike| strike.photo.is_none() && strike.listing_id.is_none() && strike.strikes > 0;
        prop_assert_eq!(counts.iter().filter(alone).count(), all.iter().filter(alone).count());
        prop_assert_eq!(counted(counts.clone()), counts);
    }

    #[test]
    fn the_program_never_confirms_or_dismisses_and_looks_twice_in_vain(
        state in prop::sample::select(&ClosureState::ALL), strikes in 0..8_u32, held in 0..8_u32, standing in 0..8_u32,
        has_news: bool, closure in 0..6_u32,
    ) {
        let options = StrikeOptions { closure, ..StrikeOptions::default() };
        let newest = NewestClosure { state, held, standing, has_news };
        let next = closure_after(Some(newest), strikes, &options);
        prop_assert!(!matches!(next, Some(ClosureState::Confirmed | ClosureState::Dismissed)));
        if next == Some(ClosureState::Proposed) {
            prop_assert!(closure > 0 && strikes >= closure);
        }
        let state = next.unwrap_or(state);
        let again = NewestClosure { state, held: strikes, standing: strikes, has_news: false };
        if next.is_some() {
            prop_assert_eq!(closure_after(Some(again), strikes, &options), None);
        }
    }
}

#[test]
fn a_strike_that_does_not_count_keeps_no_other_from_counting() {
    let strikes = [strike(Some(1), Some(1), 1, 1), strike(Some(1), Some(2), 1, 2), strike(Some(2), Some(2), 1, 3)];
    assert_eq!(counted(strikes.to_vec()), [strikes[0].clone(), strikes[2].clone()]);
}

#[test]
fn a_confirmed_closure_is_doubted_only_when_it_lost_what_it_had() {
    let confirmed = |held, standing| NewestClosure { state: ClosureState::Confirmed, held, standing, has_news: false };
    for (closure, held, standing, doubted) in [
        (3, 3, 2, true),
        (3, 5, 3, false),
        // Confirmed although there were only two.
        (3, 2, 2, false),
        (3, 2, 1, true),
        // Proposals were switched off since.
        (0, 3, 3, false),
        (0, 3, 2, true),
    ] {
        let options = StrikeOptions { closure, ..StrikeOptions::default() };
        let next = closure_after(Some(confirmed(held, standing)), 0, &options);
        assert_eq!(next == Some(ClosureState::Doubted), doubted, "{closure} {held} {standing}");
    }
}

#[test]
fn a_person_confirms_what_is_open_and_takes_back_what_is_confirmed() {
    use ClosureState::{Confirmed, Dismissed, Doubted, Proposed, Withdrawn};
    for (state, confirm, dismiss) in [
        (Proposed, true, true),
        (Doubted, true, true),
        (Confirmed, false, true),
        (Dismissed, false, false),
        (Withdrawn, false, false),
    ] {
        assert_eq!((state.may_become(Confirmed), state.may_become(Dismissed)), (confirm, dismiss), "{state:?}");
        assert!(!state.may_become(Proposed) && !state.may_become(Withdrawn));
    }
}
