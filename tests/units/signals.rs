//! Packs of signals: what was written is read, and everything else is refused.

use jiff::Timestamp;
use proptest::prelude::*;
use touchstone::domain::{Fared, MemberId, Polarity};
use touchstone::embed::{Embedding, RoundedEmbedding};
use touchstone::photo::Sha256;
use touchstone::signals::{
    Heading, Identity, Keypoints, Line, PackFault, Perceptual, Position, RoundedNumbers, Signal, SignalId, read, write,
};

const ALLIANCE: &str = "all_1";

fn identity() -> Identity {
    Identity::from_secret(&[7; 32]).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn signal(number: u8) -> Signal {
    let embedding = Embedding::normalize(vec![f32::from(number) + 1.0, 2.0, 3.0, 4.0]).unwrap();
    let rounded = RoundedEmbedding::of(&embedding);
    Signal {
        brand: "acme".parse().unwrap(),
        polarity: Polarity::Fake,
        product: Some("bag".to_owned()),
        rights_basis: None,
        vouched_at: at(0),
        fared: Fared { confirmed: 3, overturned: 1 },
        fingerprint: Some(Perceptual { hash: Sha256([number; 32]), quality: 80 }),
        pdq: None,
        embedding: Some(RoundedNumbers { model: "m@1".to_owned(), scale: rounded.scale(), bytes: rounded.to_bytes() }),
        keypoints: Some(Keypoints { vocabulary: "v@1".to_owned(), words: vec![number; 16] }),
    }
}

/// A log: each item shares a new signal, or withdraws the one before it.
fn log(withdrawn: &[bool]) -> Vec<Line> {
    let line = |(seq, withdraws): (u64, &bool)| {
        let id = SignalId::of(ALLIANCE, &format!("ref_{}", if *withdraws { seq - 1 } else { seq }));
        let at = at(i64::try_from(seq).unwrap());
        match withdraws {
            true => Line::Withdraw { seq, at, id },
            false => Line::Share { seq, at, id, signal: Some(Box::new(signal(u8::try_from(seq % 250).unwrap()))) },
        }
    };
    (1..).zip(withdrawn).map(line).collect()
}

fn after(lines: &[Line]) -> Position {
    Position::start().after(lines)
}

fn pack(identity: &Identity, alliance: &str, after: Position, lines: &[Line]) -> Vec<u8> {
    let heading = Heading {
        alliance: alliance.to_owned(),
        created_at: at(100),
        touchstone: "1".to_owned(),
        after,
        more: false,
        model: "m@1".to_owned(),
        vocabulary: "v@1".to_owned(),
        terms: "For checking listings only.".to_owned(),
    };
    let mut bytes = Vec::new();
    write(&mut bytes, identity, heading, lines).unwrap();
    bytes
}

fn read_from(bytes: &[u8], taken: Position) -> Result<touchstone::signals::Pack, PackFault> {
    read(bytes, identity().public_key(), ALLIANCE, (taken, 100))
}

proptest! {
    #[test]
    fn a_pack_is_read_as_it_was_written(flags in prop::collection::vec(any::<bool>(), 0..40), cut in 0_usize..40) {
        let lines = log(&flags);
        let (before, rest) = lines.split_at(cut.min(lines.len()));
        let read = read_from(&pack(&identity(), ALLIANCE, after(before), rest), after(before)).unwrap();
        prop_assert_eq!(&read.lines, rest);
        prop_assert_eq!(read.manifest.last, after(&lines));
        prop_assert_eq!(read.manifest.shared + read.manifest.withdrawn, rest.len() as u64);
    }

    #[test]
    fn a_pack_with_a_changed_byte_is_refused_or_the_same(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let lines = log(&[false, false, true]);
        let written = pack(&identity(), ALLIANCE, Position::start(), &lines);
        let mut changed = written.clone();
        changed[place.index(written.len())] ^= 1 << bit;
        if let Ok(read) = read_from(&changed, Position::start()) {
            // Some bits of the compression mean nothing.
            prop_assert_eq!(read.lines, lines);
        }
    }

    #[test]
    fn a_cut_pack_is_refused(place in any::<prop::sample::Index>()) {
        let written = pack(&identity(), ALLIANCE, Position::start(), &log(&[false, false, true]));
        prop_assert!(read_from(&written[..place.index(written.len())], Position::start()).is_err());
    }
}

#[test]
fn a_pack_by_another_key_for_another_alliance_or_position_is_rejected() {
    let lines = log(&[false, false, false]);
    let (first, rest) = lines.split_at(1);
    let start = Position::start();
    let code = |bytes: &[u8], taken| read_from(bytes, taken).unwrap_err().code();
    let other = Identity::draw().unwrap();
    assert_eq!(code(&pack(&other, ALLIANCE, start, &lines), start), "pack-signature");
    assert_eq!(code(&pack(&identity(), "all_2", start, &lines), start), "pack-alliance");
    assert_eq!(code(&pack(&identity(), ALLIANCE, after(first), rest), start), "pack-gap");
    assert_eq!(code(&pack(&identity(), ALLIANCE, start, &lines), after(first)), "pack-gap");
    // The same length, other content: the member has rewritten its log.
    let forked = [Line::Share { seq: 1, at: at(1), id: SignalId::of(ALLIANCE, "ref_9"), signal: None }];
    assert_eq!(code(&pack(&identity(), ALLIANCE, after(&forked), rest), after(first)), "pack-fork");
    assert_eq!(code(&pack(&identity(), ALLIANCE, start, rest), start), "pack-line");
    assert_eq!(code(b"no pack", start), "pack-unreadable");
    let most =
        |most| read(&*pack(&identity(), ALLIANCE, start, &lines), identity().public_key(), ALLIANCE, (start, most));
    assert_eq!(most(2).unwrap_err().code(), "pack-too-long");
    assert_eq!(most(3).unwrap().lines.len(), 3);
    let error = read_from(&pack(&identity(), ALLIANCE, after(first), rest), start).unwrap_err().to_string();
    assert_eq!(error, "the pack starts after line 1 of the log, expected after line 0; lines in between are missing");
}

#[test]
fn lines_with_values_out_of_range_are_refused() {
    type Change = fn(&mut Signal);
    let changes: [(Change, &str); 7] = [
        (
            |signal| signal.keypoints.as_mut().unwrap().vocabulary = "x".repeat(200),
            "a name of 200 bytes, expected at most 128",
        ),
        (|signal| signal.fingerprint.as_mut().unwrap().quality = 101, "a quality is 101, expected 0 to 100"),
        (|signal| signal.product = Some("x".repeat(300)), "product has 300 bytes, expected at most 256"),
        (|signal| signal.keypoints.as_mut().unwrap().words = vec![0; 9], "expected a multiple of 8"),
        (|signal| signal.embedding.as_mut().unwrap().scale = 9.0, "expected 1"),
        (|signal| signal.embedding.as_mut().unwrap().scale = f32::NAN, "cannot be read"),
        (|signal| signal.embedding.as_mut().unwrap().bytes = Vec::new(), "has 0 numbers, expected 1 to 4096"),
    ];
    for (change, expected) in changes {
        let mut one = signal(1);
        change(&mut one);
        let line = Line::Share { seq: 1, at: at(1), id: SignalId::of(ALLIANCE, "r"), signal: Some(Box::new(one)) };
        let error = read_from(&pack(&identity(), ALLIANCE, Position::start(), &[line]), Position::start()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn ids_follow_from_keys_and_say_nothing_about_references() {
    let id = identity().member_id();
    assert_eq!(id, MemberId::of(identity().public_key()));
    assert_eq!(id.to_string().parse::<MemberId>().unwrap(), id);
    assert!("mbr_X".parse::<MemberId>().is_err() && "sig_1".parse::<SignalId>().is_err());
    assert_ne!(SignalId::of("all_1", "ref_1"), SignalId::of("all_2", "ref_1"));
}
