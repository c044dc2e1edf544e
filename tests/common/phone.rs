//! A browser's SIP stack: one WebSocket, and calls on it. It reads only while it is asked for
//! something, and keeps what it was not asked for.

use std::collections::VecDeque;
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_net::bearer::Token;
use sautikit_net::client::{ConnectError, Handshake, TokenPlace, connect};
use sautikit_net::ws::{Feed, Incoming, Outbox};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::gateway::{Gateway, Workspace};
use super::sip::{Sip, sdp};
use super::{PATIENCE, unique};

const DOMAIN: &str = "sip.sautikit.local";

pub(crate) struct Phone {
    feed: Feed<TcpStream>,
    outbox: Outbox,
    inbox: VecDeque<Bytes>,
    closed: Option<(Option<u16>, String)>,
    user: String,
    host: String,
}

/// A call that this phone began.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) invite: Sip,
    /// The final answer, once it came.
    pub(crate) answer: Option<Sip>,
    cseq: u32,
}

/// What an INVITE says beside whom it is for.
pub(crate) struct Dial<'a> {
    pub(crate) uri: String,
    pub(crate) from: &'a str,
    /// Whole lines.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Dial<'_> {
    pub(crate) fn to(number: &str) -> Self {
        Dial {
            uri: format!("sip:{number}@{DOMAIN}"),
            from: "",
            headers: String::new(),
            body: sdp("browser", 50_000),
        }
    }
}

impl Phone {
    /// A phone of a workspace without an identity, on a token from the API.
    pub(crate) async fn of(gateway: &Gateway, workspace: &Workspace) -> Self {
        let token = gateway.token(workspace, serde_json::Value::Null).await;
        Self::open(gateway, &token, &workspace.id).await.unwrap()
    }

    /// A phone on any token; `user` is its address of record.
    pub(crate) async fn open(
        gateway: &Gateway,
        token: &str,
        user: &str,
    ) -> Result<Self, ConnectError> {
        Self::open_with(gateway, token, TokenPlace::Query, user).await
    }

    pub(crate) async fn open_with(
        gateway: &Gateway,
        token: &str,
        place: TokenPlace,
        user: &str,
    ) -> Result<Self, ConnectError> {
        gateway.place.keep_out_of_logs(token);
        let stream = TcpStream::connect(gateway.ws).await?;
        let host = gateway.ws.to_string();
        let token = Token::new(token);
        let handshake =
            Handshake { host: &host, path: "/", token: Some((place, &token)), origin: None };
        let (feed, outbox) = connect(stream, &handshake).await?;
        let (inbox, host) = (VecDeque::new(), format!("{}.invalid", unique()));
        Ok(Self { feed, outbox, inbox, closed: None, user: user.to_owned(), host })
    }

    /// Sends one message, and waits until it is on its way.
    pub(crate) async fn send(&mut self, text: impl Into<Bytes>) {
        self.outbox.send(text.into()).expect("the socket is open");
        let sent = std::future::poll_fn(|cx| {
            while let Poll::Ready(item) = self.feed.poll_next_unpin(cx) {
                match item {
                    Some(Incoming::Message(bytes)) => self.inbox.push_back(bytes),
                    Some(Incoming::Closed(close)) => {
                        self.closed = Some((close.code, close.reason.into()));
                    }
                    Some(_) => {}
                    None => return Poll::Ready(()),
                }
            }
            if self.outbox.waiting() == (0, 0) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::time::timeout(PATIENCE, sent).await.expect("the gateway reads");
    }

    /// The next message of any kind, where one comes before `end`.
    async fn read(&mut self, end: Instant) -> Option<Bytes> {
        loop {
            match timeout_at(end, self.feed.next()).await.ok()?? {
                Incoming::Message(bytes) => return Some(bytes),
                Incoming::Closed(close) => self.closed = Some((close.code, close.reason.into())),
                Incoming::Ping | Incoming::Pong | Incoming::Failed(_) => {}
            }
        }
    }

    /// The next message that was not asked for yet.
    pub(crate) async fn next(&mut self) -> Bytes {
        if let Some(bytes) = self.inbox.pop_front() {
            return bytes;
        }
        self.read(Instant::now() + PATIENCE).await.expect("a message")
    }

    /// The first SIP message that fits; what does not fit is kept for later.
    pub(crate) async fn find(&mut self, what: &str, fits: impl Fn(&Sip) -> bool) -> Sip {
        let end = Instant::now() + PATIENCE;
        let mut looked_at = 0;
        loop {
            while let Some(bytes) = self.inbox.get(looked_at) {
                if bytes.len() > 4 {
                    let sip = Sip::parse(bytes);
                    if fits(&sip) {
                        self.inbox.remove(looked_at);
                        return sip;
                    }
                }
                looked_at += 1;
            }
            match self.read(end).await {
                Some(bytes) => self.inbox.push_back(bytes),
                None => panic!(
                    "in vain waited for: {what}; closed: {:?}; got: {:#?}",
                    self.closed,
                    self.inbox.iter().map(|bytes| Sip::parse(bytes)).collect::<Vec<_>>()
                ),
            }
        }
    }

    /// Whether a message that fits has come by now; it stays where it is.
    pub(crate) async fn has(&mut self, fits: impl Fn(&Sip) -> bool) -> bool {
        // What the gateway sent before this answer is here when the answer is.
        self.options().await;
        self.inbox.iter().any(|bytes| bytes.len() > 4 && fits(&Sip::parse(bytes)))
    }

    /// Close code and reason, once the gateway has closed.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let end = Instant::now() + PATIENCE;
        while self.closed.is_none() {
            match self.read(end).await {
                Some(bytes) => self.inbox.push_back(bytes),
                None => assert!(self.closed.is_some(), "the gateway did not close the socket"),
            }
        }
        let (code, reason) = self.closed.clone().unwrap();
        (code.expect("a close code"), reason)
    }

    /// Closes the socket as a page does, and waits for the end.
    pub(crate) async fn close(mut self, code: u16) {
        self.outbox.close(code, "");
        while self.feed.next().await.is_some() {}
    }

    pub(crate) fn request(&self, method: &str, uri: &str, to: &str, more: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/WS {};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: <sip:{}@{DOMAIN}>;tag={}\r\nTo: <{to}>\r\nCall-ID: {}\r\nCSeq: 1 {method}\r\n\
             {more}Content-Length: 0\r\n\r\n",
            self.host,
            unique(),
            self.user,
            unique(),
            unique()
        )
    }

    /// Sends a request outside any call, and gives its final answer.
    pub(crate) async fn ask(&mut self, request: String) -> Sip {
        let sent = Sip::parse(request.as_bytes());
        self.send(request).await;
        self.find("an answer", |sip| {
            sip.answers(sent.method(), sent.call_id()) && sip.status() >= Some(200)
        })
        .await
    }

    pub(crate) async fn options(&mut self) -> Sip {
        let uri = format!("sip:{DOMAIN}");
        self.ask(self.request("OPTIONS", &uri, &uri, "")).await
    }

    pub(crate) fn register_request(&self, user: &str, more: &str) -> String {
        let contact =
            format!("Contact: <sip:{}@{};transport=ws>;expires=300\r\n{more}", unique(), self.host);
        self.request(
            "REGISTER",
            &format!("sip:{DOMAIN}"),
            &format!("sip:{user}@{DOMAIN}"),
            &contact,
        )
    }

    /// Registers for its own address; `more` is whole lines.
    pub(crate) async fn register(&mut self, more: &str) -> Sip {
        let user = self.user.clone();
        self.ask(self.register_request(&user, more)).await
    }

    pub(crate) async fn dial(&mut self, number: &str) -> Call {
        self.invite(Dial::to(number)).await
    }

    pub(crate) async fn invite(&mut self, dial: Dial<'_>) -> Call {
        let text = self.invite_request(&dial);
        let invite = Sip::parse(text.as_bytes());
        self.send(text).await;
        Call { invite, answer: None, cseq: 1 }
    }

    pub(crate) fn invite_request(&self, dial: &Dial<'_>) -> String {
        let from = match dial.from {
            "" => &self.user,
            other => other,
        };
        format!(
            "INVITE {} SIP/2.0\r\nVia: SIP/2.0/WS {};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: <sip:{from}@{DOMAIN}>;tag={}\r\nTo: <{}>\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{}@{};transport=ws>\r\n{}Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{}",
            dial.uri,
            self.host,
            unique(),
            unique(),
            dial.uri,
            unique(),
            unique(),
            self.host,
            dial.headers,
            dial.body.len(),
            dial.body
        )
    }

    /// A provisional answer of this status.
    pub(crate) async fn progress(&mut self, call: &Call, status: u16) -> Sip {
        let id = call.invite.call_id();
        let what = format!("a {status} to the INVITE");
        self.find(&what, |sip| sip.answers("INVITE", id) && sip.status() == Some(status)).await
    }

    /// The final answer, acknowledged.
    pub(crate) async fn outcome(&mut self, call: &mut Call) -> Sip {
        let answer = self.unacknowledged(call).await;
        let text = call.ack(&self.host);
        self.send(text).await;
        answer
    }

    /// The final answer, without its ACK.
    pub(crate) async fn unacknowledged(&mut self, call: &mut Call) -> Sip {
        let id = call.invite.call_id().to_owned();
        let answer = self
            .find("a final answer to the INVITE", |sip| {
                sip.answers("INVITE", &id) && sip.status() >= Some(200)
            })
            .await;
        call.answer = Some(answer.clone());
        answer
    }

    /// Dials, is answered and has acknowledged it.
    pub(crate) async fn talk(&mut self, number: &str) -> Call {
        let mut call = self.dial(number).await;
        let answer = self.outcome(&mut call).await;
        assert_eq!(answer.status(), Some(200), "{answer}");
        call
    }

    pub(crate) async fn refused(&mut self, dial: Dial<'_>) -> Sip {
        let mut call = self.invite(dial).await;
        let answer = self.outcome(&mut call).await;
        assert!(answer.status() >= Some(300), "{answer}");
        answer
    }

    /// Sends a request in the dialog without waiting for its answer.
    pub(crate) async fn send_in(&mut self, method: &str, call: &mut Call) {
        call.cseq += 1;
        let text = call.in_dialog(method, &self.host);
        self.send(text).await;
    }

    /// Offers anew in the dialog, and gives the acknowledged final answer.
    pub(crate) async fn reoffer(&mut self, call: &mut Call, sdp: &str) -> Sip {
        call.cseq += 1;
        let seq = u64::from(call.cseq);
        let bare = call.in_dialog("INVITE", &self.host);
        let contact = format!("Contact: {}\r\n", call.invite.must("contact"));
        let length = format!(
            "{contact}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.send(bare.replace("Content-Length: 0\r\n\r\n", &length)).await;
        let id = call.invite.call_id().to_owned();
        let answer = self
            .find("the answer to a new offer", |sip| {
                sip.answers("INVITE", &id) && sip.cseq().0 == seq && sip.status() >= Some(200)
            })
            .await;
        let ack =
            call.in_dialog("ACK", &self.host).replace("CSeq: 1 ACK", &format!("CSeq: {seq} ACK"));
        self.send(ack).await;
        answer
    }

    /// The connection breaks: no close frame, no answer to anything any more.
    pub(crate) fn lose(self) {
        drop(self);
    }

    /// Hangs up, and gives the answer to the BYE.
    pub(crate) async fn hang_up(&mut self, call: &mut Call) -> Sip {
        self.send_in("BYE", call).await;
        let id = call.invite.call_id();
        self.find("the answer to a BYE", |sip| sip.answers("BYE", id)).await
    }

    /// Takes the INVITE back; the 487 is still to come.
    pub(crate) async fn cancel(&mut self, call: &Call) -> Sip {
        let invite = &call.invite;
        let text = format!(
            "CANCEL {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
            invite.uri(),
            invite.must("via"),
            invite.must("from"),
            invite.must("to"),
            invite.call_id()
        );
        self.send(text).await;
        let id = invite.call_id();
        self.find("the answer to a CANCEL", |sip| sip.answers("CANCEL", id)).await
    }

    /// Waits for the gateway's BYE and answers it.
    pub(crate) async fn hung_up(&mut self, call: &Call) -> Sip {
        let id = call.invite.call_id();
        let bye = self.find("a BYE", |sip| sip.asks("BYE", id)).await;
        self.send(bye.response(200, None, "", "")).await;
        bye
    }
}

impl Call {
    /// What the HTTP API knows it by.
    pub(crate) fn id(&self) -> String {
        self.answer.as_ref().expect("it was answered").must("x-sautikit-call-id").to_owned()
    }

    fn ack(&self, host: &str) -> String {
        let answer = self.answer.as_ref().unwrap();
        if answer.status() < Some(300) {
            return self.in_dialog("ACK", host);
        }
        format!(
            "ACK {} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            self.invite.uri(),
            self.invite.must("via"),
            self.invite.must("from"),
            answer.must("to"),
            self.invite.call_id()
        )
    }

    pub(crate) fn in_dialog(&self, method: &str, host: &str) -> String {
        let answer = self.answer.as_ref().expect("the call was answered");
        let cseq = if method == "ACK" { 1 } else { self.cseq };
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/WS {host};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            answer.uri_in("contact"),
            unique(),
            self.invite.must("from"),
            answer.must("to"),
            self.invite.call_id()
        )
    }
}
