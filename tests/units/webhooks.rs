use touchstone::webhooks::{Secret, SecretFault, WebhookOptions, asked_to_wait, next_attempt};

/// The example that the libraries of the specification test.
#[test]
fn the_specifications_example_has_its_signature() {
    let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let signature = secret.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_secret_is_read_as_it_was_written_and_hidden_from_logs() {
    let secret = Secret::draw();
    let text = secret.to_string();
    assert_eq!(text.parse::<Secret>(), Ok(secret.clone()));
    assert_ne!(Secret::draw(), secret);
    assert!(!format!("{secret:?}").contains(&text[6..]));
    for wrong in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8G", "whsec_!"] {
        assert_eq!(wrong.parse::<Secret>(), Err(SecretFault), "{wrong}");
    }
}

#[test]
fn waits_double_to_half_a_day_and_end_after_the_last_attempt() {
    let options = WebhookOptions { max_attempts: 40, first_retry_s: 10, ..WebhookOptions::default() };
    let middle: Vec<i64> = (1..6).map(|attempt| next_attempt(&options, attempt, 0.5).unwrap()).collect();
    assert_eq!(middle, [10, 20, 40, 80, 160]);
    for attempt in 1..40 {
        let [least, middle, most] = [0.0, 0.5, 1.0].map(|chance| next_attempt(&options, attempt, chance).unwrap());
        assert!(least <= middle && middle <= most && middle <= 12 * 3600, "{attempt}: {least} {middle} {most}");
        assert!(least * 4 >= middle * 3 && most * 4 <= middle * 5 + 4, "{attempt}: {least} {middle} {most}");
    }
    assert_eq!(next_attempt(&options, 39, 0.5), Some(12 * 3600));
    assert_eq!(next_attempt(&options, 40, 0.5), None);
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date() {
    let now = "2026-12-01T12:00:00Z".parse().unwrap();
    let cases = [
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("Tue, 01 Dec 2026 12:05:00 GMT", Some(300)),
        ("Tue, 01 Dec 2026 11:00:00 GMT", None),
        ("4000000", Some(12 * 3600)),
        ("99999999999999999999", Some(12 * 3600)),
        ("+5", None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("", None),
    ];
    for (header, expected) in cases {
        assert_eq!(asked_to_wait(header, now), expected, "{header:?}");
    }
}
