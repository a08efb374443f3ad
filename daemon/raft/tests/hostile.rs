//! A member takes whatever a peer may say, in any role, without a panic, and keeps its own promises: terms and the
//! commit index never go back, a term has one vote, and what is applied comes once and in order.

use bytes::Bytes;
use proptest::prelude::*;
use raft::{
    Ack, Boot, Config, Entry, EntryKind, Envelope, Index, Input, LinkId, LogId, MemberId, Membership, Message, Now,
    Output, Proposal, Raft, ReadRound, Reject, SnapshotOffer, StreamId, Term, Time, Token,
};

const ME: MemberId = MemberId(1);

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..6u64, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn reached() -> impl Strategy<Value = Vec<(MemberId, Index)>> {
    let one = (number(), number()).prop_map(|(member, index)| (MemberId(member), Index(index)));
    prop::collection::vec(one, 0..4)
}

fn log_id() -> impl Strategy<Value = LogId> {
    (number(), number()).prop_map(|(term, index)| LogId::new(term, index))
}

fn kind() -> impl Strategy<Value = EntryKind> {
    prop_oneof![Just(EntryKind::Command), Just(EntryKind::Noop), Just(EntryKind::Membership)]
}

fn payload() -> impl Strategy<Value = Bytes> {
    let sound = Membership::bootstrap((1..=3).map(|id| (MemberId(id), Bytes::new())));
    let nobody = Membership::default();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from),
        Just(sound.encode()),
        Just(nobody.encode()),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let any = (log_id(), kind(), payload()).prop_map(|(id, kind, payload)| Entry::new(id, kind, 0, &payload));
    let consecutive =
        (0..4u64, 0..5u64, prop::collection::vec((kind(), payload()), 0..4)).prop_map(|(term, first, contents)| {
            let numbered = contents.into_iter().zip(first..);
            numbered.map(|((kind, payload), index)| Entry::new(LogId::new(term, index), kind, 0, &payload)).collect()
        });
    prop_oneof![1 => prop::collection::vec(any, 0..3), 4 => consecutive]
}

fn message() -> impl Strategy<Value = Message> {
    let stream = || (0..4u64).prop_map(StreamId);
    prop_oneof![
        log_id().prop_map(|last| Message::PreVote { last }),
        any::<bool>().prop_map(|granted| Message::PreVoteReply { granted }),
        (log_id(), any::<bool>()).prop_map(|(last, transfer)| Message::Vote { last, transfer }),
        any::<bool>().prop_map(|granted| Message::VoteReply { granted }),
        (stream(), log_id(), entries(), number()).prop_map(|(stream, prev, entries, commit)| Message::Append {
            stream,
            prev,
            entries,
            commit: Index(commit)
        }),
        (stream(), number()).prop_map(|(stream, commit)| Message::Commit { stream, commit: Index(commit) }),
        (stream(), log_id(), number(), number()).prop_map(|(stream, durable, applied, credit_bytes)| {
            Message::AppendAck(Ack { stream, durable, applied: Index(applied), credit_bytes })
        }),
        (stream(), log_id(), log_id(), prop::option::of((number(), number()))).prop_map(
            |(stream, prev, last, conflict)| {
                let conflict = conflict.map(|(term, index)| (Term(term), Index(index)));
                Message::AppendReject(Reject { stream, prev, last, conflict })
            }
        ),
        (stream(), number(), number(), number(), reached()).prop_map(|(stream, commit, round, sent_at, reached)| {
            let (commit, round, sent_at) = (Index(commit), ReadRound(round), Time(sent_at));
            Message::Heartbeat { stream, commit, round, sent_at, reached }
        }),
        (stream(), number(), number(), number()).prop_map(|(stream, round, echo, applied)| Message::HeartbeatReply {
            stream,
            round: ReadRound(round),
            echo: Time(echo),
            applied: Index(applied),
            credit_bytes: round,
        }),
        number().prop_map(|question| Message::ReadIndex { question }),
        (number(), prop::option::of(number()))
            .prop_map(|(question, index)| Message::ReadIndexReply { question, index: index.map(Index) }),
        log_id().prop_map(|last| Message::TimeoutNow { last }),
        (stream(), log_id()).prop_map(|(stream, last)| Message::Snapshot { stream, offer: SnapshotOffer { last } }),
        number().prop_map(|at| Message::Removed { at: Index(at) }),
    ]
}

#[derive(Clone, Debug)]
enum Deed {
    Message { from: u64, term: u64, message: Message },
    Tick(u64),
    Link { peer: u64, link: u64, up: bool },
    Persist,
    Propose,
    Read,
    Transfer,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => (1..5u64, number(), message()).prop_map(|(from, term, message)| Deed::Message { from, term, message }),
        4 => (0..2_500_000u64).prop_map(Deed::Tick),
        2 => (2..5u64, 1..9u64, any::<bool>()).prop_map(|(peer, link, up)| Deed::Link { peer, link, up }),
        4 => Just(Deed::Persist),
        1 => Just(Deed::Propose),
        1 => Just(Deed::Read),
        1 => Just(Deed::Transfer),
    ]
}

fn input(deed: Deed, written: raft::IoId) -> Input {
    let token = Token(7);
    match deed {
        Deed::Message { from, term, message } => {
            Input::Received(Envelope { from: MemberId(from), to: ME, term: Term(term), message })
        }
        Deed::Tick(_) => Input::Tick,
        Deed::Link { peer, link, up: true } => Input::LinkUp { peer: MemberId(peer), link: LinkId(link) },
        Deed::Link { peer, link, up: false } => Input::LinkDown { peer: MemberId(peer), link: LinkId(link) },
        Deed::Persist => Input::Persisted(written),
        Deed::Propose => {
            let proposal = Proposal { token, kind: EntryKind::Command, payload: Bytes::from_static(b"x") };
            Input::Propose(vec![proposal.clone(), proposal])
        }
        Deed::Read => Input::Read(token),
        Deed::Transfer => Input::TransferLeader { token, to: None },
    }
}

fn member(voters: u64) -> Raft {
    let membership = Membership::bootstrap((1..=voters).map(|id| (MemberId(id), Bytes::new())));
    let boot = Boot { memberships: vec![(Index::ZERO, membership)], ..Boot::default() };
    Raft::new(Config::new(ME, 3), boot, Now::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn whatever_a_peer_says_is_taken_calmly(voters in 1..4u64, deeds in prop::collection::vec(deed(), 1..60)) {
        let mut raft = member(voters);
        let (mut now, mut written, mut applied) = (Now::default(), raft::IoId(0), 0);
        let (mut before, mut votes) = (raft.status(now.mono), std::collections::BTreeMap::new());
        for deed in deeds {
            if let Deed::Tick(micros) = deed {
                now.mono = Time(now.mono.0 + micros);
            }
            let mut out = Output::default();
            raft.step(now, input(deed, written), &mut out);
            if let Some(persist) = &out.persist {
                prop_assert_eq!(persist.io.0, written.0 + 1, "writes are numbered without gaps");
                written = persist.io;
                if let Some((term, vote)) = persist.hard_state.and_then(|state| Some((state.term, state.vote?))) {
                    prop_assert_eq!(*votes.entry(term).or_insert(vote), vote, "one vote in a term");
                }
            }
            for entry in &out.apply {
                applied += 1;
                prop_assert_eq!(entry.index().0, applied);
            }
            let status = raft.status(now.mono);
            prop_assert!(status.term >= before.term && status.commit >= before.commit);
            prop_assert!(status.commit <= status.last.index && status.durable.index <= status.last.index);
            prop_assert!(raft.next_deadline() > Time(0) || voters == 1);
            before = status;
        }
    }
}
