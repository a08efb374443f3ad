//! The operator's binary.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use quorate_operator::calls::connect;
use quorate_operator::crd::crd_yaml;
use quorate_operator::metrics::Metrics;
use quorate_operator::run::{Options, run};
use quorate_operator::telemetry;
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// Forms, scales, heals and upgrades RaftClusters.
#[derive(Parser)]
#[command(name = "quorate-operator", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the definitions of the kinds, for kubectl apply --server-side.
    Crd,
    /// Takes care of clusters until it is told to stop.
    Run(RunArguments),
}

#[derive(clap::Args)]
struct RunArguments {
    /// The namespace whose clusters are taken care of. Empty is all of them.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    watch_namespace: String,
    /// The namespace of the lease. Empty is no lease: there may be only one operator then.
    #[arg(long, env = "LEASE_NAMESPACE", default_value = "")]
    lease_namespace: String,
    /// This process's name among operators.
    #[arg(long, env = "POD_NAME", default_value = "quorate-operator")]
    identity: String,
    /// Where health and metrics are served.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The daemon's image, without a tag.
    #[arg(long, env = "MEMBER_IMAGE", default_value = "quorate")]
    member_image: String,
    /// What is logged, as in RUST_LOG.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// Where each pass over a cluster is sent as a trace, http://HOST:PORT, by OTLP over gRPC. Empty is nowhere.
    #[arg(long, env = "OTLP_ENDPOINT", default_value = "", value_parser = telemetry::endpoint)]
    otlp_endpoint: String,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crd => print!("{}", crd_yaml()?),
        Command::Run(arguments) => start(arguments)?,
    }
    Ok(())
}

fn start(arguments: RunArguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level).context("--log-level")?;
    // Two providers of cryptography in one process are refused at run time: this one is ours.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let traces = telemetry::traces(&arguments.otlp_endpoint, &arguments.identity).context("--otlp-endpoint")?;
        telemetry::subscriber(filter, std::io::stderr, traces.as_ref()).try_init()?;
        let worked = work(arguments).await;
        if let Some(traces) = traces {
            traces.shutdown().await;
        }
        worked
    })
}

async fn work(arguments: RunArguments) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    let metrics = Metrics::new()?;
    let client = connect(&metrics).await?;
    let given = |text: String| (!text.is_empty()).then_some(text);
    let options = Options {
        namespace: given(arguments.watch_namespace),
        lease_namespace: given(arguments.lease_namespace),
        identity: arguments.identity,
        listen: arguments.listen,
        image: arguments.member_image,
    };
    run(client, options, metrics, stop).await
}
