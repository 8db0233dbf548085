//! A moderator signed in to the console, without a browser.

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::redirect::Policy;

use super::{PASSWORD, TestApp};

pub struct Moderator {
    url: String,
    client: Client,
    cookie: String,
    pub csrf: String,
}

impl Moderator {
    /// Makes the account and signs it in.
    pub fn new(app: &TestApp, name: &str) -> Self {
        app.account(name, touchstone::domain::Role::Moderator);
        Self::sign_in(app, name)
    }

    pub fn sign_in(app: &TestApp, name: &str) -> Self {
        Self::try_sign_in(&app.url, name).expect("the password is right")
    }

    /// As [`Moderator::sign_in`], at a service that may end at any moment.
    pub fn try_sign_in(url: &str, name: &str) -> Option<Self> {
        let answer = try_login(url, name, PASSWORD).ok().filter(|answer| answer.status() == 303)?;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut moderator = Self { url: url.to_owned(), client: client(), cookie, csrf: String::new() };
        let page = moderator.request("GET", "/console/lookup").send().and_then(Response::text).ok()?;
        moderator.csrf = page.split("name=\"csrf\" value=\"").nth(1)?.split('"').next()?.to_owned();
        Some(moderator)
    }

    /// Decides a case; returns the status, if there was an answer.
    pub fn try_decide(&self, case: &str, decision: &str) -> Option<u16> {
        let body = format!("csrf={}&decision={decision}", self.csrf);
        let request = self.request("POST", &format!("/console/cases/{case}/decide"));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        request.send().ok().map(|answer| answer.status().as_u16())
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        request.header("cookie", &self.cookie)
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().unwrap()
    }

    pub fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        let status = answer.status();
        let text = answer.text().unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// Sends a form with the session's token.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut all = vec![("csrf", self.csrf.as_str())];
        all.extend(fields);
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(all);
        let request = self.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
        request.body(body.finish()).send().unwrap()
    }

    /// Sends a form that must succeed, and returns the address that it redirects to.
    pub fn act(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields);
        let (status, location) = (answer.status(), answer.headers().get("location").cloned());
        let text = answer.text().unwrap();
        assert_eq!(status, 303, "{path}: {text}");
        location.unwrap().to_str().unwrap().to_owned()
    }

    /// Decides on one photo, with one reference or none.
    pub fn decide_on(&self, case: &str, decision: &str, photo: usize, reference: Option<&str>) -> u16 {
        let photo = photo.to_string();
        let mut fields = vec![("decision", decision), ("photo", photo.as_str())];
        fields.extend(reference.map(|id| ("reference", id)));
        self.post(&format!("/console/cases/{case}/decide"), &fields).status().as_u16()
    }

    pub fn decide(&self, case: &str, decision: &str) -> String {
        self.act(&format!("/console/cases/{case}/decide"), &[("decision", decision)])
    }
}

pub fn client() -> Client {
    Client::builder().tls_danger_accept_invalid_certs(true).redirect(Policy::none()).build().unwrap()
}

pub fn login(app: &TestApp, name: &str, password: &str) -> Response {
    try_login(&app.url, name, password).unwrap()
}

fn try_login(url: &str, name: &str, password: &str) -> reqwest::Result<Response> {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("name", name)
        .append_pair("password", password)
        .append_pair("next", "/console/overview")
        .finish();
    let request = client().post(format!("{url}/console/login"));
    request.header("content-type", "application/x-www-form-urlencoded").body(body).send()
}
