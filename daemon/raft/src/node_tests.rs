use super::*;
use crate::entry::{Entry, EntryKind};
use crate::input::{Proposal, Token};
use crate::message::{Ack, Envelope, Message};
use crate::output::{Persist, ProposeError};
use crate::types::{HardState, IoId, LinkId, LogId, StreamId};
use bytes::Bytes;
use std::time::Duration;

/// One member among silent peers, with a disk that is as fast or slow as the test says.
struct Alone {
    raft: Raft,
    now: Now,
    written: Vec<Persist>,
}

impl Alone {
    /// Member 1 of `voters`, with these entries in its log.
    fn new(voters: u64, terms: &[u64]) -> Self {
        Self::with(voters, terms, |_| {})
    }

    fn with(voters: u64, terms: &[u64], adjust: impl FnOnce(&mut Config)) -> Self {
        let membership = Membership::bootstrap((1..=voters).map(|id| (MemberId(id), Bytes::new())));
        let recent: Vec<_> = terms
            .iter()
            .zip(1..)
            .map(|(term, index)| Entry::new(LogId::new(*term, index), EntryKind::Command, 0, b"old"))
            .collect();
        let mut runs: Vec<(Index, Term)> = Vec::new();
        for entry in &recent {
            if runs.last().is_none_or(|(_, term)| *term != entry.term()) {
                runs.push((entry.index(), entry.term()));
            }
        }
        let last = recent.last().map_or(LogId::ZERO, Entry::id);
        let hard_state = HardState { term: last.term, vote: None };
        let memberships = vec![(Index::ZERO, membership)];
        let boot = Boot { hard_state, terms: runs, last, recent, memberships, ..Boot::default() };
        let mut config = Config::new(MemberId(1), 1);
        adjust(&mut config);
        let now = Now { mono: Time(1), wall_us: 1 };
        Self { raft: Raft::new(config, boot, now), now, written: Vec::new() }
    }

    fn step(&mut self, input: Input) -> Output {
        let mut out = Output::default();
        self.raft.step(self.now, input, &mut out);
        self.written.extend(out.persist.take());
        out
    }

    fn hear(&mut self, from: u64, message: Message) -> Output {
        let term = self.raft.status(self.now.mono).term;
        self.step(Input::Received(Envelope { from: MemberId(from), to: MemberId(1), term, message }))
    }

    fn flush(&mut self) -> Output {
        let io = self.written.last().map_or(IoId(0), |persist| persist.io);
        self.written.clear();
        self.step(Input::Persisted(io))
    }

    fn wait(&mut self, time: Duration) -> Output {
        self.now.mono = self.now.mono.after(time);
        self.step(Input::Tick)
    }

    /// Elected by members 2 and up to `votes`, with connections to them; its first entry is not on its disk yet.
    fn elected(mut self, votes: u64) -> Self {
        for peer in 2..=votes {
            self.step(Input::LinkUp { peer: MemberId(peer), link: LinkId(1) });
        }
        self.wait(Duration::from_secs(2));
        let term = self.raft.core.term().next();
        for peer in 2..=votes {
            let message = Message::PreVoteReply { granted: true };
            self.step(Input::Received(Envelope { from: MemberId(peer), to: MemberId(1), term, message }));
        }
        self.flush();
        for peer in 2..=votes {
            self.hear(peer, Message::VoteReply { granted: true });
        }
        assert_eq!(self.raft.status(self.now.mono).role, RoleName::Leader);
        self
    }

    fn ack(&mut self, from: u64, durable: LogId) -> Output {
        let stream = StreamId(from - 1);
        self.hear(from, Message::AppendAck(Ack { stream, durable, applied: Index::ZERO, credit_bytes: 1 << 20 }))
    }

    fn propose(&mut self, payloads: &[&'static [u8]]) -> Vec<Answer> {
        let proposal = |payload: &&'static [u8]| Proposal {
            token: Token(0),
            kind: EntryKind::Command,
            payload: Bytes::from_static(payload),
        };
        self.step(Input::Propose(payloads.iter().map(proposal).collect())).answers
    }

    fn commit(&self) -> u64 {
        self.raft.core.commit().0
    }
}

#[test]
fn entries_of_an_earlier_term_are_not_committed_by_counting() {
    let mut leader = Alone::new(5, &[1, 2]).elected(5);
    leader.flush();
    leader.ack(2, LogId::new(2, 2));
    leader.ack(3, LogId::new(2, 2));
    leader.ack(4, LogId::new(2, 2));
    assert_eq!(leader.commit(), 0);
    leader.ack(2, LogId::new(3, 3));
    assert_eq!(leader.commit(), 0);
    leader.ack(3, LogId::new(3, 3));
    assert_eq!(leader.commit(), 3);
}

#[test]
fn a_leader_counts_itself_from_the_moment_its_disk_has_the_entry() {
    let mut leader = Alone::new(3, &[]).elected(3);
    leader.ack(2, LogId::new(1, 1));
    assert_eq!(leader.commit(), 0, "one disk of three");
    let out = leader.flush();
    assert_eq!((leader.commit(), out.apply.len()), (1, 1));
}

#[test]
fn the_lag_of_a_follower_that_has_not_said_what_it_has_is_a_bound() {
    let mut leader = Alone::new(3, &[]).elected(2);
    leader.ack(2, LogId::new(1, 1));
    let followers = leader.raft.status(leader.now.mono).followers;
    let said: Vec<_> = followers.iter().map(|follower| (follower.lag.entries, follower.lag.approximate)).collect();
    assert_eq!(said, [(0, false), (1, true)], "the second has never been heard");
}

#[test]
fn what_others_have_committed_is_applied_when_it_is_durable_here() {
    let mut leader = Alone::new(3, &[]).elected(3);
    leader.ack(2, LogId::new(1, 1));
    let out = leader.ack(3, LogId::new(1, 1));
    assert_eq!((leader.commit(), out.apply.len()), (1, 0));
    assert_eq!(leader.flush().apply.len(), 1);
}

#[test]
fn a_removal_that_is_only_in_the_log_is_certain_when_it_is_committed() {
    let mut alone = Alone::with(3, &[1, 1], |_| {});
    let mut membership = alone.raft.membership().1.clone();
    membership.voters.remove(&MemberId(3));
    membership.removed.insert(MemberId(3));
    let entry = Entry::new(LogId::new(1, 3), EntryKind::Membership, 0, &membership.encode());
    let base = LogId::new(1, 2);
    alone.hear(2, Message::Append { stream: StreamId(1), prev: base, entries: vec![entry], commit: Index(2) });
    alone.flush();
    let removed = |membership: &Membership| membership.removed.contains(&MemberId(3));
    assert!(removed(alone.raft.membership().1) && !removed(alone.raft.committed_membership().1));
    assert!(!alone.raft.membership_committed());
    alone.hear(2, Message::Commit { stream: StreamId(1), commit: Index(3) });
    assert!(removed(alone.raft.committed_membership().1) && alone.raft.membership_committed());
}

#[test]
fn a_batch_is_one_write_of_consecutive_entries_in_one_buffer() {
    let mut leader = Alone::new(3, &[]).elected(3);
    leader.flush();
    let answers = leader.propose(&[b"a", b"bb", b""]);
    let places: Vec<_> = (2..=4).map(|index| Answer::Proposed(Token(0), Ok(LogId::new(1, index)))).collect();
    assert_eq!(answers, places);
    let [write] = &leader.written[..] else { panic!("one write") };
    let mut together: Vec<u8> = Vec::new();
    write.append.iter().for_each(|entry| together.extend_from_slice(entry.record()));
    let mut bytes = Bytes::from(together);
    for entry in &write.append {
        assert_eq!(Entry::decode(&mut bytes).as_ref(), Ok(entry));
    }
    let first = write.append[0].record().as_ptr() as usize;
    assert_eq!(write.append[1].record().as_ptr() as usize, first + write.append[0].record().len());
}

#[test]
fn a_leader_takes_no_more_than_it_may_hold_uncommitted() {
    let mut leader = Alone::with(3, &[], |config| config.uncommitted_bytes_max = 200).elected(3);
    leader.flush();
    assert!(matches!(leader.propose(&[b"a", b"b", b"c"])[..], [Answer::Proposed(_, Ok(_)), ..]));
    let refused = Answer::Proposed(Token(0), Err(ProposeError::Busy));
    assert_eq!(leader.propose(&[b"d"]), [refused]);
    leader.ack(2, LogId::new(1, 4));
    leader.flush();
    assert!(matches!(leader.propose(&[b"d"])[..], [Answer::Proposed(_, Ok(_))]));
}

#[test]
fn a_vote_leaves_when_it_is_durable_and_only_once_in_a_term() {
    let mut member = Alone::new(3, &[]);
    let ask = |from| Envelope {
        from: MemberId(from),
        to: MemberId(1),
        term: Term(4),
        message: Message::Vote { last: LogId::ZERO, transfer: false },
    };
    assert!(member.step(Input::Received(ask(2))).send.is_empty());
    assert!(member.step(Input::Received(ask(3))).send.is_empty());
    let sent: Vec<_> = member.flush().send.into_iter().map(|envelope| (envelope.to, envelope.message)).collect();
    let reply = |granted| Message::VoteReply { granted };
    assert_eq!(sent, [(MemberId(2), reply(true)), (MemberId(3), reply(false))]);
}

#[test]
fn an_append_that_contradicts_committed_entries_is_refused() {
    let mut member = Alone::new(3, &[1, 1]);
    let append = |term, index, commit| Message::Append {
        stream: StreamId(1),
        prev: LogId::new(1, index - 1),
        entries: vec![Entry::new(LogId::new(term, index), EntryKind::Command, 0, b"new")],
        commit: Index(commit),
    };
    member.hear(2, append(1, 2, 2));
    assert_eq!(member.commit(), 2);
    let later = Envelope { from: MemberId(3), to: MemberId(1), term: Term(2), message: append(2, 2, 2) };
    let out = member.step(Input::Received(later));
    assert!(out.events.iter().any(|event| matches!(event, Event::Refused { .. })), "{:?}", out.events);
    assert_eq!(member.raft.core.log.last(), LogId::new(1, 2));
}

#[test]
fn a_follower_commits_no_further_than_what_agrees_with_the_leader() {
    let mut member = Alone::new(3, &[1, 1, 1]);
    let probe = Message::Append { stream: StreamId(1), prev: LogId::new(1, 1), entries: Vec::new(), commit: Index(3) };
    let term = Term(2);
    member.step(Input::Received(Envelope { from: MemberId(2), to: MemberId(1), term, message: probe }));
    assert_eq!(member.commit(), 1, "what follows may be anybody's");
    member.hear(2, Message::Commit { stream: StreamId(1), commit: Index(3) });
    assert_eq!(member.commit(), 1);
}

#[test]
fn a_write_takes_along_what_is_known_to_be_committed_and_news_of_it_alone_writes_nothing() {
    let mut member = Alone::new(3, &[1, 1]);
    let append = |prev, index, commit| {
        let entries = vec![Entry::new(LogId::new(1, index), EntryKind::Command, 0, b"new")];
        Message::Append { stream: StreamId(1), prev: LogId::new(1, prev), entries, commit: Index(commit) }
    };
    member.hear(2, append(2, 3, 2));
    assert_eq!(member.written.last().map(|write| write.commit), Some(Index(2)));
    member.flush();
    member.hear(2, Message::Commit { stream: StreamId(1), commit: Index(3) });
    assert!(member.written.is_empty(), "{:?}", member.written);
    member.hear(2, append(3, 4, 3));
    assert_eq!(member.written.last().map(|write| write.commit), Some(Index(3)));
}

#[test]
fn a_term_beyond_belief_changes_nothing() {
    let mut member = Alone::new(3, &[]);
    let message = Message::Vote { last: LogId::ZERO, transfer: false };
    member.step(Input::Received(Envelope { from: MemberId(2), to: MemberId(1), term: Term(u64::MAX), message }));
    assert_eq!(member.raft.core.term(), Term(0));
}

#[test]
fn the_next_deadline_is_never_in_the_past_after_a_tick() {
    let mut leader = Alone::new(3, &[]).elected(3);
    for _ in 0..100 {
        leader.wait(Duration::from_millis(37));
        assert!(leader.raft.next_deadline() > leader.now.mono);
    }
}

#[test]
fn an_answer_to_an_earlier_term_names_no_stream_and_no_round() {
    let mut member = Alone::new(3, &[5]);
    let ask = |member: &mut Alone, message| {
        let out = member.step(Input::Received(Envelope { from: MemberId(2), to: MemberId(1), term: Term(3), message }));
        out.send.into_iter().next().expect("it is answered")
    };
    let message = Message::Heartbeat {
        stream: StreamId(1),
        round: crate::types::ReadRound(7),
        sent_at: Time(1),
        commit: Index(0),
        reached: Vec::new(),
    };
    // Its sender may lead term 5 by now, with a stream 1 and a round 7 of its own.
    let Envelope { term: Term(5), message: Message::HeartbeatReply { stream, round, .. }, .. } =
        ask(&mut member, message)
    else {
        panic!("a heartbeat is answered in the current term");
    };
    assert_eq!((stream, round), (StreamId::NONE, crate::types::ReadRound::default()));
    let entries = Vec::new();
    let message = Message::Append { stream: StreamId(1), prev: LogId::new(5, 1), entries, commit: Index(0) };
    let answer = ask(&mut member, message);
    let Message::AppendReject(reject) = answer.message else { panic!("an old append is refused") };
    assert_eq!((answer.term, reject.stream), (Term(5), StreamId::NONE));
}
