//! The end of a run: nothing goes wrong any more, a majority is healed, the rest stays dead, and the cluster must show
//! that it lives (TigerBeetle's liveness mode).

use super::checks::configs::is_quorum;
use super::checks::{Verdict, ensure, lag};
use super::image::LogImage;
use super::joins::Joining;
use super::machine::KEYS;
use super::medium::End;
use super::member::Member;
use super::queue::{Micros, SECOND};
use super::world::{Event, Repair, World};
use raft::{Index, Membership};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Election timeouts until a new write must have been committed.
const COMMIT_WITHIN: u32 = 10;
/// How long clients go on asking.
const ASKED_FOR: Micros = 20 * SECOND;
/// How long it takes at most after that until everybody holds the same.
const CONVERGED_WITHIN: Micros = 40 * SECOND;
/// Leaders there may be after healing: a first one, and one further change; besides hand-overs that are asked for.
const LEADERS_MAX: u64 = 2;

/// The life that a member is in, if it is in one.
fn running_life(member: &Member) -> Option<u32> {
    member.is_running().then_some(member.life)
}

impl World {
    /// Heals a majority and checks that it lives.
    pub(super) fn settle(&mut self) -> Verdict {
        let began = self.now;
        self.heal()?;
        self.commit_again(began)?;
        self.advance(began + ASKED_FOR)?;
        self.quiet = true;
        let lives: Vec<Option<u32>> = self.members.iter().map(running_life).collect();
        self.advance(self.now + CONVERGED_WITHIN.max(self.backlog()))?;
        self.advance(self.now + self.late_backlog(&lives))?;
        self.check_converged()?;
        self.check_joined()?;
        self.check_answered()?;
        ensure("L2", self.leaders_in_calm <= LEADERS_MAX + self.transfers_in_calm, || {
            format!("{} leaders in {} s of peace", self.leaders_in_calm, (self.now - began) / SECOND)
        })
    }

    fn heal(&mut self) -> Verdict {
        let core = self.choose_core();
        let names: Vec<_> = core.iter().map(|slot| self.members[*slot].id).collect();
        self.trace.note(self.now, core.len() as u64, || format!("!! peace for {names:?}"));
        self.report.reach(if core.len() == self.members.len() { "peace for all" } else { "peace for a majority" });
        self.calm = true;
        self.network.heal();
        let latest = |member: &Member| member.disk.live.memberships().last().map_or(Index(0), |(at, _)| *at);
        let before: Vec<Index> = self.members.iter().map(latest).collect();
        for slot in 0..self.members.len() {
            if !core.contains(&slot) {
                self.end(slot, End::Power)?;
                self.members[slot].dead = true;
                continue;
            }
            self.heal_member(slot)?;
        }
        // Whoever was paused takes what has been asked of it as soon as it is healed, and those it needs for that may have
        // come to their end after it.
        core.iter().for_each(|slot| self.heal_for_change(*slot, before[*slot]));
        self.reconnect();
        Ok(())
    }

    /// A change that was asked for before the peace may come through in it, and need members that are not in the core:
    /// they are healed as well.
    pub(super) fn heal_for_change(&mut self, slot: usize, before: Index) {
        let latest = self.members[slot].disk.live.memberships().last().filter(|(at, _)| self.calm && *at > before);
        let Some((_, membership)) = latest.cloned() else { return };
        let is_dead =
            |id| self.slot_of(id).filter(|slot| self.members[*slot].dead && self.members[*slot].lost.is_none());
        if is_quorum(&membership, |voter| is_dead(voter).is_none()) {
            return;
        }
        let needed = membership.voters.iter().chain(&membership.voters_outgoing);
        for slot in needed.filter_map(|id| is_dead(*id)).collect::<BTreeSet<usize>>() {
            let id = self.members[slot].id;
            self.trace.note(self.now, id.0, || format!("!! peace for {id} too"));
            self.report.reach("peace for more");
            self.members[slot].dead = false;
            self.members[slot].apply_slowness = 1;
            self.repair_disk(slot);
            self.queue.push(self.now, Event::Repair(Repair::Start(slot)));
        }
    }

    /// Members that are a quorum of every configuration that may be in force, and sometimes no more than that.
    fn choose_core(&mut self) -> BTreeSet<usize> {
        let configurations = self.possible_memberships();
        let mut core: BTreeSet<usize> =
            (0..self.members.len()).filter(|slot| self.members[*slot].lost.is_none()).collect();
        let mut order: Vec<usize> = core.iter().copied().collect();
        self.chance.fault.shuffle(&mut order);
        let spare = usize::try_from(self.chance.fault.below(order.len() as u64 + 1)).expect("not above a length");
        for slot in order.into_iter().take(spare) {
            let id = self.members[slot].id;
            let enough = |membership: &Arc<Membership>| {
                is_quorum(membership, |voter| voter != id && self.slot_of(voter).is_some_and(|s| core.contains(&s)))
            };
            if configurations.iter().all(enough) {
                core.remove(&slot);
            }
        }
        core
    }

    /// The last committed configuration, and where it stands: as logs have it that hold what is committed. Another one
    /// may hold a configuration there that never was.
    pub(super) fn committed_membership(&self) -> Option<&(Index, Arc<Membership>)> {
        let committed = self.ledger.last().last;
        let logs = self.logs().filter(|log| log.contains(committed));
        logs.filter_map(|log| log.membership_at(committed.index)).max_by_key(|(at, _)| *at)
    }

    /// The last committed configuration, and every later one that any log holds.
    pub(super) fn possible_memberships(&self) -> Vec<Arc<Membership>> {
        let latest = self.committed_membership().map(|(at, _)| *at);
        let all = self.logs().flat_map(LogImage::memberships).filter(|(at, _)| Some(*at) >= latest);
        all.map(|(_, membership)| Arc::clone(membership)).collect()
    }

    /// What each member's log is, and what of it a loss of power would leave.
    fn logs(&self) -> impl Iterator<Item = &LogImage> {
        self.members.iter().flat_map(|member| [&member.disk.live, &member.disk.durable])
    }

    /// What the longest log may have to bring the shortest one first: at worst entry by entry, with windows this
    /// small, each with its round trip, its flush and one more round trip.
    fn backlog(&self) -> Micros {
        let lasts =
            || self.members.iter().filter(|m| m.is_running()).map(|member| member.disk.live.last().last.index.0);
        self.takes(lasts().max().unwrap_or(0) - lasts().min().unwrap_or(0))
    }

    /// The same for those that have come up since they all had these lives: with a change that was committed last of
    /// all that was missing, as newcomers or because it needs them.
    fn late_backlog(&self, lives: &[Option<u32>]) -> Micros {
        let last = |member: &Member| member.disk.live.last().last.index.0;
        let is_late = |(slot, member): &(usize, &Member)| {
            let awaited = member.joining.as_ref().is_some_and(Joining::is_open) && !member.dead;
            awaited || (member.is_running() && lives.get(*slot) != Some(&running_life(member)))
        };
        let behind = self.members.iter().enumerate().filter(is_late).map(|(_, member)| last(member)).min();
        let longest = self.members.iter().filter(|member| member.is_running()).map(last).max();
        self.takes(longest.zip(behind).map_or(0, |(longest, behind)| longest.saturating_sub(behind)))
    }

    /// What so many entries may take, one by one.
    pub(super) fn takes(&self, missing: u64) -> Micros {
        let network = &self.swarm.network;
        missing * (4 * (network.delay_min + network.delay_mean) + self.swarm.flush_mean)
    }

    /// L1: a write that nobody has asked for yet is committed soon.
    fn commit_again(&mut self, began: Micros) -> Verdict {
        let election = u64::try_from(self.swarm.config.election.as_micros()).expect("a short time");
        let before = self.history.acknowledged();
        let deadline = began + election * u64::from(COMMIT_WITHIN) + self.backlog();
        while self.now < deadline {
            for slot in 0..self.members.len() {
                if self.members[slot].leading.is_some() {
                    self.ask_write(slot)?;
                }
            }
            self.advance((self.now + election / 4).min(deadline))?;
            if self.history.acknowledged() > before && self.now > began + election {
                return Ok(());
            }
        }
        let leaders: Vec<_> = self.members.iter().filter(|m| m.leading.is_some()).map(|m| (m.id, m.leading)).collect();
        ensure("L1", self.history.acknowledged() > before, || {
            format!("nothing committed within {COMMIT_WITHIN} election timeouts of {election} µs; leaders {leaders:?}")
        })
    }

    /// L1 and S15: everybody who is a member holds and has applied the same, and the leader says so.
    fn check_converged(&mut self) -> Verdict {
        let leader = self.members.iter().filter(|member| member.leading.is_some()).max_by_key(|member| member.leading);
        let Some((leader, node)) = leader.and_then(|leader| Some((leader, leader.node.as_ref()?))) else {
            return ensure("L1", false, || "nobody leads after a minute of peace".to_owned());
        };
        let last = leader.disk.live.last();
        let (_, membership) = node.membership();
        for member in self.members.iter().filter(|member| member.is_running() && membership.is_member(member.id)) {
            let applied = member.machine.state.applied;
            ensure("L1", applied == last && member.disk.durable.last() == last, || {
                format!(
                    "{} has applied {}, its log ends at {}, that of {} at {}",
                    member.id,
                    applied.last,
                    member.disk.durable.last().last,
                    leader.id,
                    last.last
                )
            })?;
        }
        ensure("L1", !membership.is_joint(), || format!("still joint after a minute of peace: {membership:?}"))?;
        let mut hash = None;
        for member in self.members.iter().filter(|member| member.is_running() && membership.is_member(member.id)) {
            let found = member.machine.hash()?;
            let first = *hash.get_or_insert(found);
            ensure("S5", found == first, || format!("{}: rows hash to {found:?}, elsewhere to {first:?}", member.id))?;
            (0..KEYS).try_for_each(|key| member.machine.read(key).map(|_| ()))?;
        }
        let status = node.status(leader.clock.now(self.now).mono);
        lag::check_complete(leader.id, leader.disk.live.memberships(), status.commit, &status.followers)?;
        for said in &status.followers {
            let Some(follower) = super::perform::by_id(&self.members, said.member) else { continue };
            let known = self.known_of(leader, said.member);
            lag::check(&leader.disk.live, &follower.disk.durable, &known, said)?;
            if follower.is_running() {
                lag::check_caught_up(&leader.disk.live, said)?;
            }
        }
        Ok(())
    }
}
