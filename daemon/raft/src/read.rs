//! Linearizable reads (thesis 6.4): at the leader, rounds of heartbeats that prove it still leads; at a follower,
//! the question to the leader.
//!
//! * A read waits for a round that starts after it arrived: a heartbeat that left earlier proves nothing about now.
//! * A round starts once an entry of the leader's own term is committed: before that, its commit index may lie
//!   behind what an earlier leader acknowledged.
//! * One round and one question are under way at a time; what arrives meanwhile gathers for the next.

use crate::core::Core;
use crate::input::Token;
use crate::message::Message;
use crate::output::{Answer, Output, ReadError};
use crate::planted::{Bug, is_planted};
use crate::types::{Index, MemberId, ReadRound, Time};

/// Reads gathering for the next round. The caller batches, so this many means a leader that cannot confirm for long.
const GATHERING_MAX: usize = 65_536;

/// Who waits for a read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A request at this member.
    Here(Token),
    /// A follower's question.
    There(MemberId, u64),
}

/// The reads of a leader.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// The last round that started.
    current: ReadRound,
    gathering: Vec<Reader>,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    /// What was committed when the round started.
    index: Index,
    readers: Vec<Reader>,
}

impl Rounds {
    /// The round that heartbeats confirm now.
    pub(crate) fn current(&self) -> ReadRound {
        self.current
    }

    /// Takes a reader. False when too many are waiting.
    pub(crate) fn gather(&mut self, reader: Reader) -> bool {
        // A follower repeats a question whose answer may have been lost: one answer is enough.
        let repeated = self.under_way.iter().any(|round| round.readers.contains(&reader));
        if matches!(reader, Reader::There(..)) && (repeated || self.gathering.contains(&reader)) {
            return true;
        }
        if let Some(round) = self.under_way.as_mut().filter(|_| is_planted(Bug::EarlierRound)) {
            round.readers.push(reader);
            return true;
        }
        let room = self.gathering.len() < GATHERING_MAX;
        if room {
            self.gathering.push(reader);
        }
        room
    }

    /// Whether somebody waits for answers to a round.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether a round should start now.
    pub(crate) fn is_due(&self) -> bool {
        self.under_way.is_none() && !self.gathering.is_empty()
    }

    /// Starts a round for everybody who has gathered.
    pub(crate) fn start(&mut self, commit: Index) -> ReadRound {
        self.current = ReadRound(self.current.0 + 1);
        self.under_way = Some(UnderWay { index: commit, readers: std::mem::take(&mut self.gathering) });
        self.current
    }

    /// A quorum has answered `round`. Returns the readers it serves and their index.
    pub(crate) fn confirm(&mut self, round: ReadRound) -> Option<(Index, Vec<Reader>)> {
        if round < self.current {
            return None;
        }
        self.under_way.take().map(|round| (round.index, round.readers))
    }

    /// Everybody who waits, when leadership ends.
    pub(crate) fn abandon(&mut self) -> Vec<Reader> {
        let mut readers = self.under_way.take().map_or_else(Vec::new, |round| round.readers);
        readers.append(&mut self.gathering);
        readers
    }
}

/// Tells a reader its index, or that there is none.
pub(crate) fn answer(core: &mut Core, reader: Reader, index: Option<Index>, out: &mut Output) {
    match reader {
        Reader::Here(token) => out.answers.push(Answer::Read(token, index.ok_or(ReadError::Unconfirmed))),
        Reader::There(member, question) => core.reply(member, Message::ReadIndexReply { question, index }, out),
    }
}

/// The reads of a follower.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    gathering: Vec<Token>,
    under_way: Option<Question>,
}

#[derive(Debug)]
struct Question {
    number: u64,
    tokens: Vec<Token>,
    /// When to ask again: messages get lost.
    again_at: Time,
    /// When to give up.
    until: Time,
}

impl Questions {
    pub(crate) fn ask(&mut self, core: &mut Core, leader: Option<MemberId>, token: Token, out: &mut Output) {
        if leader.is_none() {
            return out.answers.push(Answer::Read(token, Err(ReadError::NoLeader)));
        }
        if self.gathering.len() >= GATHERING_MAX {
            return out.answers.push(Answer::Read(token, Err(ReadError::Unconfirmed)));
        }
        self.gathering.push(token);
        self.start_if_due(core, leader, out);
    }

    fn start_if_due(&mut self, core: &mut Core, leader: Option<MemberId>, out: &mut Output) {
        let Some(leader) = leader.filter(|_| self.under_way.is_none() && !self.gathering.is_empty()) else { return };
        let number = core.next_question();
        self.under_way = Some(Question {
            number,
            tokens: std::mem::take(&mut self.gathering),
            again_at: core.now.mono.after(core.config.heartbeat * 2),
            until: core.now.mono.after(core.config.election),
        });
        core.send(leader, Message::ReadIndex { question: number }, out);
    }

    pub(crate) fn on_answer(
        &mut self,
        core: &mut Core,
        leader: Option<MemberId>,
        number: u64,
        index: Option<Index>,
        out: &mut Output,
    ) {
        if let Some(question) = self.under_way.take_if(|question| question.number == number) {
            let result = index.ok_or(ReadError::Unconfirmed);
            out.answers.extend(question.tokens.into_iter().map(|token| Answer::Read(token, result)));
            self.start_if_due(core, leader, out);
        }
    }

    pub(crate) fn on_tick(&mut self, core: &mut Core, leader: Option<MemberId>, out: &mut Output) {
        let now = core.now.mono;
        let Some(question) = &mut self.under_way else { return };
        let number = question.number;
        if now >= question.until {
            self.on_answer(core, leader, number, None, out);
        } else if now >= question.again_at {
            question.again_at = now.after(core.config.heartbeat * 2);
            if let Some(leader) = leader {
                core.send(leader, Message::ReadIndex { question: number }, out);
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.under_way.as_ref().map(|question| question.again_at.min(question.until))
    }

    /// Nobody will answer any more.
    pub(crate) fn close(&mut self, out: &mut Output) {
        let waiting = self.under_way.take().map_or_else(Vec::new, |question| question.tokens);
        let unconfirmed = |token| Answer::Read(token, Err(ReadError::Unconfirmed));
        out.answers.extend(waiting.into_iter().chain(self.gathering.drain(..)).map(unconfirmed));
    }
}
