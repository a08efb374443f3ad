//! The words of a scene. `m1`, `m2` … are members.
//!
//! ```text
//!   cluster m1 m2 m3 [learner=m4]   start members that know this configuration
//!   blank m4                        start a member that waits to be added
//!   lead m1                         m1 is elected and settled; nothing is written down
//!   campaign m1                     m1's patience ends; the others have not heard a leader for an election timeout
//!   tick m1                         m1's next deadline comes, by its clock alone
//!   wait 500                        so many milliseconds pass for all, with everything due and delivered
//!   settle                          deliver until nothing is left; no time passes
//!   deliver [m1 m2]                 deliver what is on its way now (from m1 to m2), not what follows from it
//!   lose [m1 m2]                    lose it instead
//!   cut m1 m2 · isolate m1 · heal   connections
//!   slow m1 · fast m1               whether writes stay in flight
//!   flush m1 [2]                    the end of all of them, or of the oldest two
//!   crash m1 · restart m1           what is not flushed is lost
//!   unapply m1                      its state machine had written nothing yet; between a crash and a restart
//!   propose m1 a b c                one batch
//!   flood m1 1200                   so many batches of one; the answers are not written down
//!   read m1
//!   change m1 learner=m4 voter=m5 promote=m4 remove=m2 [expected=7]
//!   transfer m1 [m2]
//!   full m1 · room m1               the disk
//!   compact m1 5                    drop the log of m1 up to there
//!   install m3 m1                   give m3 the snapshot of m1
//!   logs                            what each disk holds, and what is committed
//!   members m1                      the configuration in force
//!   certain m1                      the last configuration that it takes for committed
//!   role m1                         what it is
//!   lag m1                          how far behind it shows its followers to be
//!   chatty · quiet                  whether heartbeats are written down
//! ```

use super::cluster::{Cluster, pair};
use super::trace;
use bytes::Bytes;
use raft::{Change, EntryKind, Index, Input, MemberId, Membership, Proposal, Token};
use std::time::Duration;

type Played = Result<(), String>;

pub(crate) fn run(cluster: &mut Cluster, line: &str) -> Played {
    cluster.verb_begins();
    let mut words = line.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    match verb {
        "cluster" => start(cluster, &words),
        "blank" => on_each(&words, |id| cluster.add(id, None)),
        "lead" => lead(cluster, member(&words, 0)?),
        "campaign" => campaign(cluster, member(&words, 0)?),
        "tick" => on_each(&words, |id| cluster.tick(id)),
        "wait" => wait(cluster, &words),
        "settle" => played(|| cluster.settle()),
        "deliver" | "lose" => deliver(cluster, &words, verb == "deliver"),
        "cut" => cut(cluster, &words),
        "isolate" => isolate(cluster, member(&words, 0)?),
        "heal" => played(|| cluster.heal()),
        "slow" | "fast" => on_each(&words, |id| cluster.members.get_mut(&id).expect("known").slow = verb == "slow"),
        "flush" => flush(cluster, &words),
        "crash" => on_each(&words, |id| cluster.crash(id)),
        "restart" => on_each(&words, |id| cluster.boot(id)),
        "unapply" => on_each(&words, |id| cluster.members.get_mut(&id).expect("known").disk.applied.clear()),
        "propose" => propose(cluster, &words),
        "flood" => flood(cluster, &words),
        "read" => read(cluster, member(&words, 0)?),
        "change" => change(cluster, &words),
        "transfer" => transfer(cluster, &words),
        "full" | "room" => on_each(&words, |id| cluster.step(id, Input::DiskFull(verb == "full"))),
        "compact" => compact(cluster, &words),
        "install" => install(cluster, member(&words, 0)?, member(&words, 1)?),
        "logs" => played(|| logs(cluster)),
        "members" => members(cluster, member(&words, 0)?),
        "certain" => certain(cluster, member(&words, 0)?),
        "role" => role(cluster, &words),
        "lag" => lag(cluster, member(&words, 0)?),
        "chatty" | "quiet" => played(|| cluster.chatty = verb == "chatty"),
        _ => Err("no such verb".to_owned()),
    }
}

/// A verb that cannot go wrong.
fn played(act: impl FnOnce()) -> Played {
    act();
    Ok(())
}

fn cut(cluster: &mut Cluster, words: &[&str]) -> Played {
    cluster.disconnect(member(words, 0)?, member(words, 1)?);
    Ok(())
}

fn parse(word: &str) -> Result<MemberId, String> {
    let number = word.strip_prefix('m').and_then(|number| number.parse().ok());
    number.map(MemberId).ok_or_else(|| format!("{word} is not a member"))
}

fn member(words: &[&str], at: usize) -> Result<MemberId, String> {
    words.get(at).ok_or_else(|| "a member is missing".to_owned()).and_then(|word| parse(word))
}

fn on_each(words: &[&str], mut act: impl FnMut(MemberId)) -> Played {
    words.iter().try_for_each(|word| parse(word).map(&mut act))
}

fn token(cluster: &mut Cluster) -> Token {
    cluster.tokens += 1;
    Token(cluster.tokens)
}

fn start(cluster: &mut Cluster, words: &[&str]) -> Played {
    let (mut voters, mut learners) = (Vec::new(), Vec::new());
    for word in words {
        match word.strip_prefix("learner=") {
            Some(learner) => learners.push(parse(learner)?),
            None => voters.push(parse(word)?),
        }
    }
    cluster.start(&voters, &learners);
    Ok(())
}

/// The others forget the old leader first: their clocks run ahead unnoticed.
fn campaign(cluster: &mut Cluster, id: MemberId) -> Played {
    cluster.pass(Duration::from_secs(1));
    cluster.tick(id);
    Ok(())
}

fn lead(cluster: &mut Cluster, id: MemberId) -> Played {
    let before = cluster.trace.len();
    campaign(cluster, id)?;
    cluster.settle();
    cluster.trace.truncate(before);
    Ok(())
}

fn flush(cluster: &mut Cluster, words: &[&str]) -> Played {
    let writes = words.get(1).map_or(Ok(usize::MAX), |word| word.parse()).map_err(|_| "how many writes?")?;
    cluster.flush(member(words, 0)?, writes);
    Ok(())
}

fn wait(cluster: &mut Cluster, words: &[&str]) -> Played {
    let millis = words.first().and_then(|word| word.parse().ok()).ok_or("how long?")?;
    cluster.wait(Duration::from_millis(millis));
    Ok(())
}

fn deliver(cluster: &mut Cluster, words: &[&str], arrive: bool) -> Played {
    let only = if words.is_empty() { None } else { Some((member(words, 0)?, member(words, 1)?)) };
    let now: Vec<_> = cluster.net.drain(..).collect();
    for envelope in now {
        match only {
            Some(way) if way != (envelope.from, envelope.to) => cluster.net.push_back(envelope),
            _ if arrive => cluster.deliver(envelope),
            _ => {}
        }
    }
    Ok(())
}

fn isolate(cluster: &mut Cluster, id: MemberId) -> Played {
    let others: Vec<_> = cluster.members.keys().copied().filter(|other| *other != id).collect();
    for other in others {
        if !cluster.cut.contains(&pair(id, other)) {
            cluster.disconnect(id, other);
        }
    }
    Ok(())
}

fn propose(cluster: &mut Cluster, words: &[&str]) -> Played {
    let id = member(words, 0)?;
    let proposals = words[1..].iter().map(|word| Proposal {
        token: token(cluster),
        kind: EntryKind::Command,
        payload: Bytes::copy_from_slice(word.as_bytes()),
    });
    let proposals = proposals.collect();
    cluster.step(id, Input::Propose(proposals));
    Ok(())
}

fn flood(cluster: &mut Cluster, words: &[&str]) -> Played {
    let (batches, before): (usize, _) =
        (words.get(1).and_then(|word| word.parse().ok()).ok_or("how many?")?, cluster.trace.len());
    for _ in 0..batches {
        propose(cluster, &[words[0], "x"])?;
    }
    cluster.settle();
    cluster.trace.truncate(before);
    Ok(())
}

fn read(cluster: &mut Cluster, id: MemberId) -> Played {
    let token = token(cluster);
    cluster.step(id, Input::Read(token));
    Ok(())
}

fn change(cluster: &mut Cluster, words: &[&str]) -> Played {
    let id = member(words, 0)?;
    let (mut changes, mut expected) = (Vec::new(), None);
    for word in &words[1..] {
        let (what, who) = word.split_once('=').ok_or("what=who")?;
        match what {
            "learner" => changes.push(Change::AddLearner(parse(who)?, Bytes::new())),
            "voter" => changes.push(Change::AddVoter(parse(who)?, Bytes::new())),
            "promote" => changes.push(Change::Promote(parse(who)?)),
            "remove" => changes.push(Change::Remove(parse(who)?)),
            "expected" => expected = Some(Index(who.parse().map_err(|_| "a number")?)),
            _ => return Err(format!("no such change: {what}")),
        }
    }
    let token = token(cluster);
    cluster.step(id, Input::ChangeMembership { token, expected, changes });
    Ok(())
}

fn transfer(cluster: &mut Cluster, words: &[&str]) -> Played {
    let (id, to) = (member(words, 0)?, words.get(1).map(|word| parse(word)).transpose()?);
    let token = token(cluster);
    cluster.step(id, Input::TransferLeader { token, to });
    Ok(())
}

fn compact(cluster: &mut Cluster, words: &[&str]) -> Played {
    let id = member(words, 0)?;
    let index = words.get(1).and_then(|word| word.parse().ok()).map(Index).ok_or("up to where?")?;
    let disk = &mut cluster.members.get_mut(&id).ok_or("unknown")?.disk;
    let through = disk.compact(index).ok_or("not in the log")?;
    cluster.step(id, Input::Compacted { through });
    Ok(())
}

fn install(cluster: &mut Cluster, id: MemberId, from: MemberId) -> Played {
    let source = &cluster.members.get(&from).ok_or("unknown")?;
    let applied = source.applied.clone();
    let last = *applied.last().ok_or("nothing applied")?;
    let base = source.disk.memberships().into_iter().rfind(|(at, _)| *at <= last.index).ok_or("no membership")?;
    let target = cluster.members.get_mut(&id).ok_or("unknown")?;
    target.disk.install(last, base.clone(), applied.clone());
    target.applied = applied;
    cluster.trace.push(format!("{id} restored {last}"));
    cluster.step(id, Input::Installed { last, membership_at: base.0, membership: base.1 });
    Ok(())
}

fn logs(cluster: &mut Cluster) {
    for (id, member) in &cluster.members {
        let shown: Vec<_> = member.disk.entries.iter().map(ToString::to_string).collect();
        let commit = member.raft.as_ref().map(|raft| format!(" commit={}", raft.status(member.clock).commit));
        let start = if member.disk.start.index == Index::ZERO {
            String::new()
        } else {
            format!("after {} ", member.disk.start)
        };
        cluster.trace.push(format!("{id}: {start}[{}]{}", shown.join(" "), commit.unwrap_or_default()));
    }
}

fn members(cluster: &mut Cluster, id: MemberId) -> Played {
    let (at, membership) = cluster.raft(id).ok_or("not running")?.membership();
    let line = format!("{id}: at {at} {}", described(membership));
    cluster.trace.push(line);
    Ok(())
}

fn certain(cluster: &mut Cluster, id: MemberId) -> Played {
    let (at, membership) = cluster.raft(id).ok_or("not running")?.committed_membership();
    let line = format!("{id} is certain of {at} {}", described(membership));
    cluster.trace.push(line);
    Ok(())
}

fn described(membership: &Membership) -> String {
    let mut line = format!("voters=({})", trace::ids(membership.voters.clone()));
    let more = [
        ("outgoing", &membership.voters_outgoing),
        ("learners", &membership.learners),
        ("next", &membership.learners_next),
        ("removed", &membership.removed),
    ];
    for (name, ids) in more.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        line.push_str(&format!(" {name}=({})", trace::ids(ids.clone())));
    }
    line
}

fn role(cluster: &mut Cluster, words: &[&str]) -> Played {
    for word in words {
        let id = parse(word)?;
        let member = cluster.members.get(&id).ok_or("unknown")?;
        let status = member.raft.as_ref().ok_or("not running")?.status(member.clock);
        let leader = status.leader.map_or("nobody".to_owned(), |leader| leader.to_string());
        cluster.trace.push(format!("{id}@{} {:?}, leader {leader}", status.term, status.role));
    }
    Ok(())
}

fn lag(cluster: &mut Cluster, id: MemberId) -> Played {
    let member = cluster.members.get(&id).ok_or("unknown")?;
    let status = member.raft.as_ref().ok_or("not running")?.status(member.clock);
    for follower in status.followers {
        let heard = if follower.silent_for.is_some() { "heard" } else { "not heard" };
        let about = if follower.lag.approximate { "about " } else { "" };
        cluster.trace.push(format!("{} is {about}{} entries behind, {heard}", follower.member, follower.lag.entries));
    }
    Ok(())
}
