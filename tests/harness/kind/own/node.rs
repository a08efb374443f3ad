//! The node image: Debian's userland, kind's own files out of its module, the programs built from Go modules, and the
//! images of the system pods, imported as content so that a node unpacks what it uses.
//!
//! It lies in the cache as a tar, keyed by everything it is made of. `tests/kind/node` has the two scripts.

use super::Engine;
use super::debian;
use super::engine::{self, Parts};
use crate::image::{Image, Layer, archive};
use crate::kind::command::{command, output, run};
use crate::kind::programs::{self, KUBERNETES_VERSION, NodePrograms};
use crate::kind::state::State;
use crate::kind::steps::step;
use crate::{go, tree};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Each step of making the image takes a minute on two cores, most of it one of a slow mirror.
const STEP_WITHIN: Duration = Duration::from_secs(900);
/// containerd opens its socket in a second.
const SOCKET_WITHIN: Duration = Duration::from_secs(60);
/// The programs of the packet filter, with what they load.
const FILTERS: &[&str] =
    &["/usr/sbin/nft", "/usr/sbin/xtables-nft-multi", "/usr/sbin/xtables-legacy-multi", "/usr/sbin/conntrack"];
const SHELL: &[&str] = &[
    "sh", "mkdir", "rm", "ls", "cat", "wget", "nslookup", "ping", "sleep", "nc", "hostname", "ip", "chmod", "touch",
    "sync", "id", "env", "httpd", "dd", "df", "mount", "grep",
];

/// The image's name in the engine.
#[must_use]
pub(crate) fn name() -> String {
    format!("kindest/node:{KUBERNETES_VERSION}")
}

/// The image as a tar, made now if the cache does not have it.
///
/// # Errors
/// When a program, a package or a file of it cannot be had.
pub(crate) fn image(state: &State, parts: &Parts) -> Result<PathBuf> {
    let scripts = tree::root().join("tests/kind/node");
    let key = format!("{}-{}", &programs_key()?, go::fingerprint(&scripts)?);
    let folder = tree::cache()?.join(format!("node-{key}"));
    let tar = folder.join("node.tar");
    if tar.exists() {
        return Ok(tar);
    }
    let work = Work::new(folder.with_extension(format!("partial-{}", std::process::id())))?;
    let debootstrap = thread::spawn({
        let (log, parts) = (state.log("debootstrap"), parts.clone());
        move || step("Debian userland of the node", || userland(&log, &parts))
    });
    let built = step("Go programs (minutes on two cores the first time)", NodePrograms::build);
    let userland = debootstrap.join().ok().context("debootstrap's thread ended early")??;
    let built = built?;
    run(command(&["cp", "-a"]).arg(userland).arg(work.path("root")), &state.log("node-image"), STEP_WITHIN)?;
    step("node image", || assemble(&work, &built, &state.log("node-image")))?;
    fs::create_dir_all(&folder)?;
    fs::rename(work.path("node.tar"), &tar)?;
    Ok(tar)
}

/// Makes the tar an image of the engine. Its import takes no settings that a node needs, so an empty build adds them.
///
/// # Errors
/// When the engine refuses.
pub(crate) fn import(engine: &Engine, tar: &Path) -> Result<()> {
    let log = engine.state.log("import");
    run(engine.docker().arg("import").arg(tar).arg("quorate-node"), &log, STEP_WITHIN)?;
    let folder = engine.state.path("node-image");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("Dockerfile"),
        "FROM quorate-node\nENV container=docker\nSTOPSIGNAL SIGRTMIN+3\n\
         ENTRYPOINT [\"/usr/local/bin/entrypoint\", \"/sbin/init\"]\n",
    )?;
    let mut build = engine.docker();
    build.args(["build", "--quiet", "--tag", &name()]).arg(&folder).env("DOCKER_BUILDKIT", "0");
    run(&mut build, &log, STEP_WITHIN)
}

fn programs_key() -> Result<String> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    NodePrograms::fingerprint()?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The userland by itself, from the cache or made now.
fn userland(log: &Path, parts: &Parts) -> Result<PathBuf> {
    let script = tree::root().join("tests/kind/node/rootfs.sh");
    let folder = tree::cache()?.join(format!("userland-{}", go::fingerprint(&script)?));
    if folder.exists() {
        return Ok(folder);
    }
    let packages = tree::cache()?.join("debs");
    fs::create_dir_all(&packages)?;
    let partial = folder.with_extension(format!("partial-{}", std::process::id()));
    let mut make = engine::in_group(Path::new("unshare"))?;
    make.arg("--mount").arg(script).arg(&partial).arg(debian::mirror()).arg(packages);
    make.env("PATH", parts.search_path()).env("DEBOOTSTRAP_DIR", parts.packages.join("usr/share/debootstrap"));
    run(&mut make, log, STEP_WITHIN)?;
    fs::rename(partial, &folder)?;
    Ok(folder)
}

/// The folder that an image is made in; gone when dropped.
struct Work(PathBuf);

impl Work {
    fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("programs"))?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn assemble(work: &Work, built: &NodePrograms, log: &Path) -> Result<()> {
    let (root, programs) = (work.path("root"), work.path("programs"));
    for (name, path) in [
        ("kubernetes", &built.kubernetes),
        ("containerd", &built.containerd),
        ("containerd-shim-runc-v2", &built.shim),
        ("ctr", &built.ctr),
    ] {
        fs::copy(path, programs.join(name))?;
    }
    let mut script = command(&["unshare", "--mount"]);
    script.arg(tree::root().join("tests/kind/node/assemble.sh"));
    script.arg(&root).arg(&programs).arg(programs::kind_source()?).arg(KUBERNETES_VERSION);
    run(&mut script, log, STEP_WITHIN)?;
    let images = work.path("images.tar");
    system_images(&root, built, &images)?;
    preload(work, built, &images, log)?;
    let mut tar = command(&["tar", "--numeric-owner", "-C"]);
    run(tar.arg(&root).arg("-cf").arg(work.path("node.tar")).arg("."), log, STEP_WITHIN)
}

/// The images of the system pods, under the names that kubeadm and our manifests use.
fn system_images(root: &Path, built: &NodePrograms, out: &Path) -> Result<()> {
    let userland = filters(root)?;
    let kubernetes = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "node-daemon"]
        .iter()
        .fold(Layer::program("/usr/local/bin/kubernetes", &built.kubernetes), |layer, name| {
            layer.link(&format!("/usr/local/bin/{name}"), "kubernetes")
        });
    let etcd = Layer::program("/usr/local/bin/etcd", &built.etcd);
    let coredns = Layer::program("/coredns", &built.coredns);
    let pause = Layer::program("/pause", &built.pause);
    let names = Names::of(&built.kubernetes)?;
    let mut control =
        Image::new("quorate.test/kubernetes:1", &[&userland, &kubernetes], &["/usr/local/bin/kubernetes"]);
    for part in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        control = control.tag(&names.find(part)?);
    }
    let images = [
        control,
        Image::new("quorate.test/node-daemon:1", &[&userland, &kubernetes], &["/usr/local/bin/node-daemon"]),
        Image::new(&names.find("etcd")?, &[&etcd], &["/usr/local/bin/etcd"]),
        Image::new(&names.find("coredns")?, &[&coredns], &["/coredns"]),
        Image::new("quorate.test/shell:1", &[&userland], &["/bin/sh"]),
        // containerd's own default, as kind's configuration of it names it.
        Image::new(&names.find("pause")?, &[&pause], &["/pause"]).tag("registry.k8s.io/pause:3.10"),
    ];
    archive(&images, out)
}

/// The images that this kubeadm wants.
struct Names(Vec<String>);

impl Names {
    fn of(kubernetes: &Path) -> Result<Self> {
        let list = ["kubeadm", "config", "images", "list", "--kubernetes-version", KUBERNETES_VERSION];
        Ok(Self(output(std::process::Command::new(kubernetes).args(list))?.lines().map(str::to_owned).collect()))
    }

    fn find(&self, part: &str) -> Result<String> {
        let found = self.0.iter().find(|name| name.contains(&format!("/{part}:")));
        found.cloned().with_context(|| format!("kubeadm names no image of {part}"))
    }
}

/// A shell, and the packet filter's programs with their libraries, out of the node's userland.
fn filters(root: &Path) -> Result<Layer> {
    let mut layer = Layer::default().file("/bin/busybox", &root.join("bin/busybox"));
    for name in SHELL {
        layer = layer.link(&format!("/bin/{name}"), "/bin/busybox");
    }
    let family = format!("{}-linux-gnu", std::env::consts::ARCH);
    let plugins = fs::read_dir(root.join("usr/lib").join(family).join("xtables"))?;
    let mut wanted: Vec<String> = FILTERS.iter().map(ToString::to_string).collect();
    for plugin in plugins {
        wanted.push(format!("/{}", plugin?.path().strip_prefix(root)?.display()));
    }
    // The plugins too: one of them alone needs libm.
    let mut ldd = command(&["chroot"]);
    for library in libraries(&output(ldd.arg(root).arg("ldd").args(&wanted))?) {
        layer = layer.file(&library, &fs::canonicalize(root.join(library.trim_start_matches('/')))?);
    }
    for path in &wanted {
        layer = layer.file(path, &root.join(path.trim_start_matches('/')));
    }
    for name in
        ["iptables", "ip6tables"].iter().flat_map(|name| ["", "-save", "-restore"].map(|end| format!("{name}{end}")))
    {
        layer = layer.link(&format!("/usr/sbin/{name}"), "xtables-nft-multi");
    }
    Ok(layer)
}

/// The absolute paths in what `ldd` says.
fn libraries(said: &str) -> Vec<String> {
    let mut found: Vec<String> = said
        .split_whitespace()
        .filter(|word| word.starts_with("/lib") && !word.ends_with(':'))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Imports the images into the node's own containerd, without unpacking them.
fn preload(work: &Work, built: &NodePrograms, images: &Path, log: &Path) -> Result<()> {
    // The path of a socket has 104 bytes at most, and a cache may lie deep.
    let door = tempfile::Builder::new().prefix("quorate-node-").tempdir()?;
    let (socket, configuration) = (door.path().join("containerd.sock"), work.path("containerd.toml"));
    fs::write(
        &configuration,
        format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \
             \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\"]\n[grpc]\naddress = {socket:?}\n",
            work.path("root/var/lib/containerd"),
            door.path().join("state")
        ),
    )?;
    let mut containerd = engine::in_group(&built.containerd)?;
    let out = File::options().create(true).append(true).open(log)?;
    containerd.arg("-c").arg(&configuration).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let mut running = Running(containerd.spawn().context("start containerd")?);
    let begun = Instant::now();
    while !socket.exists() {
        if let Some(status) = running.0.try_wait()? {
            bail!("containerd ended with {status}: {} says why", log.display());
        }
        if begun.elapsed() > SOCKET_WITHIN {
            bail!("containerd does not open its socket: {} says why", log.display());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let mut ctr = std::process::Command::new(&built.ctr);
    ctr.arg("-a").arg(&socket).args(["-n", "k8s.io", "images", "import", "--label=io.cri-containerd.pinned=pinned"]);
    ctr.args(["--all-platforms", "--no-unpack", "--digests"]).arg(images);
    run(&mut ctr, log, STEP_WITHIN)
}

/// A helper that ends with its work.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_paths_and_not_the_programs_they_are_listed_under() {
        let said = "/usr/sbin/nft:\n\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n\
                    /lib/x/libxt_a.so:\n\tlibc.so.6 => /lib/x/libc.so.6 (0x4)\n";
        assert_eq!(libraries(said), ["/lib/x/libc.so.6", "/lib64/ld.so.2"]);
    }
}
