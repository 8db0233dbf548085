use super::{Moderator, cases, sign_in, signed_in};
use crate::cli::{stderr, touchstone};
use crate::support::pictures::{photo, stolen};
use crate::support::{TestApp, wait_for};

#[test]
fn a_photo_is_looked_up_by_file_and_by_paste_and_filtered_without_a_reload() {
    let app = TestApp::start();
    let Some(browser) = signed_in(&app, "robin") else { return };
    let fake = app.add_fake(&photo(1));
    let authentic = app.add("other", "authentic", &photo(2))["id"].as_str().unwrap().to_owned();
    let file = browser.downloads.path().join("listing.jpg");
    std::fs::write(&file, stolen(&photo(1))).unwrap();
    let first = "document.querySelector('#results a[data-row]')?.pathname";

    browser.press('l');
    browser.wait("document.querySelector('#photo')");
    browser.type_into("#photo", file.to_str().unwrap());
    browser.wait(&format!("{first} === '/console/references/{fake}'"));
    let shared = browser.address();

    browser.run_script("window.sameness = 'kept'");
    browser.run_script("const brand = document.querySelector('[name=brand]'); brand.value = 'other'; brand.dispatchEvent(new Event('input', { bubbles: true }))");
    browser.wait(&format!("{first} === '/console/references/{authentic}'"));
    assert_eq!(browser.value("window.sameness"), "kept", "the page was not loaded again");
    assert!(browser.address().contains("brand=other"), "{}", browser.address());
    browser.goto(&shared);
    browser.wait(&format!("{first} === '/console/references/{fake}'"));

    browser.goto(&format!("{}/console/lookup", app.url));
    browser.run_script(
        "const canvas = document.createElement('canvas'); canvas.width = canvas.height = 120;
         const pen = canvas.getContext('2d'); pen.fillStyle = 'teal'; pen.fillRect(10, 20, 60, 50);
         canvas.toBlob((blob) => {
             const data = new DataTransfer(); data.items.add(new File([blob], 'pasted.png', { type: 'image/png' }));
             document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
         })",
    );
    browser.wait("location.search.includes('photo=') && document.querySelector('#results')");
    assert_ne!(browser.address(), shared);
    browser.click("#results li p a");
    browser.wait("location.search.includes('reference=ref_')");
}

#[test]
fn a_case_is_taken_decided_undone_and_appealed_by_keyboard_and_never_by_two() {
    let app = TestApp::start();
    let Some(robin) = signed_in(&app, "robin") else { return };
    let id = cases(&app, 1..2).remove(0);
    let kim = Moderator::new(&app, "kim");
    let state = || app.get_json(&format!("/v1/checks/{id}/case"));

    robin.goto(&format!("{}/console/queue", app.url));
    robin.press_until('j', &format!("document.activeElement.href?.includes('{id}')"));
    robin.press('?');
    robin.wait("document.querySelector('#help').open");
    robin.press('\u{e00c}');
    robin.wait("!document.querySelector('#help').open");
    robin.press('q');
    robin.wait(&format!("location.pathname === '/console/cases/{id}' && document.querySelector('[data-key=f]')"));
    assert_eq!(state()["claimed_by"], "robin");
    assert!(kim.page(&format!("/console/cases/{id}")).contains("robin has claimed this case."));

    // Both photos are there, the reference is at its aligned position, and the slider shows more of it.
    robin.wait("[...document.querySelectorAll('.compare img')].every((one) => one.complete && one.naturalWidth > 0)");
    assert_eq!(robin.value("document.querySelectorAll('.found').length"), 1);
    let pane = "Number(document.querySelector('#pane').getAttribute('width'))";
    let before = robin.value(pane).as_f64().unwrap();
    robin.run_script("const wipe = document.querySelector('#wipe'); wipe.value = 90; wipe.dispatchEvent(new Event('input', { bubbles: true }))");
    assert!(robin.value(pane).as_f64().unwrap() > before * 1.7);
    robin.wait("document.querySelector('[hx-get] .grid, .grid [data-row]')");

    robin.press('f');
    robin.wait("location.pathname === '/console/queue'");
    assert_eq!((&state()["decision"], &state()["decided_by"]), (&"fake".into(), &"robin".into()));
    // Undo works from the queue, too, and the notice says so.
    robin.press('u');
    robin.wait("document.querySelector('[data-key=a]')");
    assert!(robin.text("#notice").contains("is undone"), "{}", robin.text("#notice"));
    assert_eq!(state()["status"], "open");
    robin.press('f');
    robin.wait("location.pathname === '/console/queue'");

    robin.goto(&format!("{}/console/cases/{id}", app.url));
    robin.run_script("document.querySelectorAll('details').forEach((one) => one.open = true)");
    robin.type_into("[name=text]", "I bought it from the brand");
    robin.click("form[action$=appeal] button");
    robin.wait("document.querySelector('blockquote')");
    assert!(robin.text(".locked").contains("Another moderator must decide it"), "{}", robin.text(".locked"));

    // Another moderator decides the appeal, in another browser.
    let Some(second) = super::Browser::start() else { return };
    sign_in(&second, &app, "kim");
    second.press('q');
    second.wait("document.querySelector('blockquote') && document.querySelector('[data-key=f]')");
    second.type_into("[name=note]", "The receipt does not name the goods.");
    second.run_script("document.activeElement.blur()");
    second.press('f');
    second.wait("location.pathname === '/console/queue'");
    assert_eq!((&state()["decided_by"], &state()["first_decided_by"]), (&"kim".into(), &"robin".into()));

    second.goto(&format!("{}/console/cases/{id}", app.url));
    second.click("form[action$=evidence] button");
    let bundle = second.downloads.path().join(format!("evidence-{id}.zip"));
    wait_for("the bundle", || bundle.exists());
    let verified = touchstone(app.folder(), &["verify-evidence", bundle.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

/// Decides fifty cases without a mouse, and prints the time of each decision inside the service.
#[test]
fn fifty_cases_are_decided_by_keyboard_alone() {
    let app = TestApp::start();
    let Some(browser) = signed_in(&app, "robin") else { return };
    let ids = cases(&app, 1..51);
    browser.press('q');
    browser.wait("location.pathname.startsWith('/console/cases/')");
    browser.run_script("performance.setResourceTimingBufferSize(5000)");
    let mut took = serde_json::Value::Null;
    for number in 0..ids.len() {
        browser.wait("location.pathname.startsWith('/console/cases/') && document.querySelector('[data-key=f]')");
        let here = browser.value("location.pathname");
        took = browser.value("performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/decide')).map((one) => one.serverTiming[0].duration)");
        // As long as the console rejects decisions on a case that has just loaded.
        std::thread::sleep(std::time::Duration::from_millis(300));
        browser.press(['f', 'a', 'n'][number % 3]);
        browser.wait(&format!("location.pathname !== {here}"));
    }
    browser.wait("location.pathname === '/console/queue'");
    for (number, id) in ids.iter().enumerate() {
        let case = app.get_json(&format!("/v1/checks/{id}/case"));
        assert_eq!(case["status"], "decided", "{number}: {case}");
    }
    let mut took: Vec<f64> = took.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
    took.sort_by(f64::total_cmp);
    assert_eq!(took.len(), ids.len() - 1, "the last one leaves the page");
    println!(
        "{} decisions, milliseconds in the service: median {}, worst {}",
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1]
    );
}
