use touchstone::config::Config;

use crate::support::root;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(file.path()), variables)
        .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
}

#[test]
fn the_documented_file_lists_every_setting_with_its_default() {
    let text = std::fs::read_to_string(root().join("touchstone.example.toml")).unwrap();
    assert_eq!(load(&text, &[]).unwrap(), Config::default());
    let documented: toml::Table = text.parse().unwrap();
    let all = toml::Table::try_from(Config::default()).unwrap();
    for (name, value) in &all {
        let own = documented.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        for inner in value.as_table().into_iter().flat_map(toml::Table::keys) {
            assert!(own.get(inner).is_some(), "{name}.{inner} is not documented");
        }
    }
}

#[test]
fn variables_win_over_the_file_and_flags_over_both() {
    let mut config = load(
        "model = \"a\"\n[server]\nmax_photos = 5",
        &[("TOUCHSTONE_SERVER__MAX_PHOTOS", "6"), ("TOUCHSTONE_SERVER__LISTEN", "127.0.0.1:1"), ("HOME", "/")],
    )
    .unwrap();
    assert_eq!(
        (config.model.as_str(), config.server.max_photos, config.server.listen.as_str()),
        ("a", 6, "127.0.0.1:1")
    );
    config.set("server.max_photos", "7").unwrap();
    assert_eq!(config.server.max_photos, 7);
}

#[test]
fn what_is_wrong_is_named() {
    let mut config = Config::default();
    let errors = [
        load("colour = 1", &[]).unwrap_err(),
        load("[server]\nmax_photos = \"many\"", &[]).unwrap_err(),
        load("model = ", &[]).unwrap_err(),
        load("", &[("TOUCHSTONE_COLOUR", "red")]).unwrap_err(),
        config.set("server.colour", "red").unwrap_err().to_string(),
        config.set("server.max_photos", "many").unwrap_err().to_string(),
        config.set("model.name", "x").unwrap_err().to_string(),
        config.set("embed.queue", "9000000000").unwrap_err().to_string(),
        load("[index]\nm = 1000", &[]).unwrap_err(),
    ];
    insta::assert_snapshot!("config-errors", errors.join("\n"));
}

#[test]
fn lists_are_given_to_flags_and_variables_as_in_the_file() {
    let mut config = load("", &[("TOUCHSTONE_FETCH__HOSTS", r#"["img.example", "*.cdn.example"]"#)]).unwrap();
    assert_eq!(config.fetch.hosts, ["img.example", "*.cdn.example"]);
    config.set("alliance.hosts", r#"["127.0.0.1", "[::1]", "A.example"]"#).unwrap();
    assert_eq!(config.alliance.hosts, ["127.0.0.1", "[::1]", "A.example"]);
    config.set("alliance.hosts", "[\"a.example\"]\nother = 1").unwrap_err();
    config.set("alliance.hosts", "[\"a.example\"").unwrap_err();
    for host in ["https://a.example", "a.example:443", "a.example/x", "", "*", "*.", " a", "127.1", "bücher.example"] {
        let list = format!("[{host:?}]");
        let error = config.set("alliance.hosts", &list).unwrap_err().to_string();
        assert!(error.contains("expected a host as it stands in a URL"), "{host:?}: {error}");
    }
}
