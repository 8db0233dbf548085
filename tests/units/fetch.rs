use touchstone::fetch::FetchOptions;

fn options(hosts: &[&str]) -> FetchOptions {
    FetchOptions { urls: true, hosts: hosts.iter().map(ToString::to_string).collect(), ..FetchOptions::default() }
}

fn refusal(options: &FetchOptions, url: &str) -> Option<String> {
    options.refusal(&url.parse().unwrap())
}

#[test]
fn addresses_that_are_set_apart_are_not_fetched_from_however_they_are_written() {
    for apart in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "[::]",
        "[::1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:db8::1]",
        "[2001::1]",
    ] {
        let url: url::Url = format!("https://{apart}/").parse().unwrap();
        let refused = options(&[url.host_str().unwrap()]).refusal(&url).unwrap_or_default();
        assert!(refused.contains("is private"), "{apart}: {refused}");
    }
    for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[64:ff9b::808:808]"] {
        let url: url::Url = format!("https://{public}/").parse().unwrap();
        assert_eq!(options(&[url.host_str().unwrap()]).refusal(&url), None, "{public}");
    }
}

#[test]
fn only_named_hosts_are_asked_only_over_tls_and_none_unless_it_is_switched_on() {
    let some = options(&["img.example.com", "*.cdn.example"]);
    for fine in ["https://img.example.com/a.jpg", "https://a.b.cdn.example/x", "https://IMG.example.com:8443/"] {
        assert_eq!(refusal(&some, fine), None, "{fine}");
    }
    for wrong in [
        "http://img.example.com/a.jpg",
        "https://cdn.example/x",
        "https://evilcdn.example/x",
        "https://example.com/",
        "https://img.example.com.evil.org/",
        "https://user@img.example.com/",
        "https://127.0.0.1/",
        "ftp://img.example.com/",
    ] {
        assert!(refusal(&some, wrong).is_some(), "{wrong}");
    }
    assert!(refusal(&FetchOptions::default(), "https://img.example.com/a.jpg").unwrap().contains("fetch.urls"));
}
