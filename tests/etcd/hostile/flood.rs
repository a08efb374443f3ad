//! Clients that take whatever they can get: connections, streams, headers, halves of requests, answers they never read. All
//! along an honest client must be served, in the time that it waits for an answer, and when they are gone the member's
//! memory must be back. A member that was not troubled proves nothing: each attack shows in its figures, or sees itself
//! that its connections end.

mod attacks;
mod felt;
mod honest;

use anyhow::{Context, Result, ensure};
use attacks::Held;
use felt::{Figures, during};
use honest::Honest;
use std::time::{Duration, Instant};
use tests::client::Client;
use tests::cluster::{Cluster, Flavor, Member};

const MIB: u64 = 1 << 20;
/// What is stored, in values of this size: large enough that a few answers with all of it fill what answers may hold.
const VALUES: usize = 64;
const VALUE_BYTES: usize = 128 << 10;
/// How long each attack goes on at least.
const ATTACK: Duration = Duration::from_secs(3);
/// What attacks may cost while they last: the answers a member holds at once (256 MiB), about as much that is free and not
/// given back yet, what it holds of requests (128 MiB), and what thousands of connections and calls cost.
const ATTACKED_BYTES_MAX: u64 = 800 * MIB;
/// What may stay afterwards: allocators keep a little.
const LEFT_BYTES_MAX: u64 = 64 * MIB;
/// Memory is back after this at most.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// One way to be a nuisance.
struct Attack {
    name: &'static str,
    run: fn(&str) -> Result<Held>,
    /// It takes all that answers may hold together.
    fills_a_budget: bool,
    /// How the member shows that it was troubled; none where the attack itself sees that its connections end.
    felt: Option<Felt>,
}

/// A figure that grows by so much at least.
#[derive(Clone, Copy)]
struct Felt {
    what: &'static str,
    figure: fn(&Figures) -> u64,
    by: u64,
}

const OPEN: Felt = Felt { what: "open files", figure: |figures| figures.open_files, by: 2900 };
const CALLS: Felt = Felt { what: "calls begun and not ended", figure: |figures| figures.calls_open, by: 10_000 };
const REFUSED: Felt = Felt { what: "calls told to come back", figure: |figures| figures.refused, by: 100 };

const ATTACKS: [Attack; 9] = [
    Attack { name: "silent connections", run: attacks::silent, fills_a_budget: false, felt: Some(OPEN) },
    Attack { name: "slow readers", run: attacks::slow_readers, fills_a_budget: true, felt: Some(REFUSED) },
    Attack { name: "closed windows", run: attacks::closed_windows, fills_a_budget: true, felt: Some(REFUSED) },
    Attack { name: "narrow windows", run: attacks::narrow_windows, fills_a_budget: true, felt: Some(REFUSED) },
    Attack { name: "streams", run: attacks::streams, fills_a_budget: false, felt: Some(CALLS) },
    Attack { name: "resets", run: attacks::resets, fills_a_budget: false, felt: None },
    Attack { name: "huge headers", run: attacks::huge_headers, fills_a_budget: false, felt: None },
    Attack { name: "halves of requests", run: attacks::halves, fills_a_budget: false, felt: Some(REFUSED) },
    Attack { name: "requests without end", run: attacks::endless, fills_a_budget: false, felt: Some(REFUSED) },
];

#[test]
fn whoever_floods_a_member_keeps_nobody_out_and_leaves_no_memory_behind() -> Result<()> {
    let cluster = Cluster::start(Flavor::Quorate, 1, &[])?;
    let member = &cluster.members[0];
    fill(&member.client)?;
    let served = Honest::start(&member.client).end()?;
    let peace = Figures::of(member)?;
    println!("peace: {served:?}, {peace:?}");
    for attack in &ATTACKS {
        suffer(member, attack, &peace).with_context(|| attack.name.to_owned())?;
    }
    let begun = Instant::now();
    let after = settled(member, peace.resident_bytes + LEFT_BYTES_MAX)?;
    println!("afterwards: {} MiB after {:.1?}", after / MIB, begun.elapsed());
    Honest::start(&member.client).end()?;
    Ok(())
}

/// Lets a member be attacked while an honest client is served.
fn suffer(member: &Member, attack: &Attack, peace: &Figures) -> Result<()> {
    let before = Figures::of(member)?;
    let honest = Honest::start(&member.client);
    let (held, most) = during(member, ATTACK, || (attack.run)(&member.client))?;
    let served = honest.end()?;
    println!("{}: {} sent; {served:?}; {most:?}", attack.name, held.sent);
    // Those that hold all that answers may hold take the room of large ones. Of small ones none may.
    ensure!(attack.fills_a_budget || served.turned_away == 0, "turned away {} times", served.turned_away);
    let (mib, mib_before) = (most.resident_bytes / MIB, peace.resident_bytes / MIB);
    ensure!(most.resident_bytes < peace.resident_bytes + ATTACKED_BYTES_MAX, "{mib} MiB, {mib_before} in peace");
    if let Some(Felt { what, figure, by }) = attack.felt {
        // What the honest client was told is none of the attack's.
        let grown = figure(&most).saturating_sub(figure(&before) + served.turned_away);
        ensure!(grown >= by, "{grown} {what}, {by} at least if the attack is one");
    }
    Ok(())
}

fn fill(address: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut client, value) = (Client::lazy(address)?, "v".repeat(VALUE_BYTES));
        for key in 0..VALUES {
            client.put(&format!("large-{key}"), &value).await?;
        }
        Ok(())
    })
}

/// Waits until the member has no more memory than this; what it has then.
fn settled(member: &Member, bytes_max: u64) -> Result<u64> {
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let now = member.resident_bytes()?;
        if now <= bytes_max {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "memory stays at {} MiB, above {} MiB", now / MIB, bytes_max / MIB);
        std::thread::sleep(Duration::from_millis(100));
    }
}
