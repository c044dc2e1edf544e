import { vi } from 'vitest';
import { FakeWebSocket } from './fake-web-socket.js';

const OFFER = 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0 8\r\n';

/** As much of an RTCPeerConnection as a call touches. */
export class FakePeerConnection extends EventTarget {
  static all: FakePeerConnection[] = [];
  iceGatheringState = 'new';
  iceConnectionState = 'new';
  connectionState = 'new';
  signalingState = 'stable';
  localDescription: { sdp: string } | null = null;
  closed = false;
  readonly config: RTCConfiguration;
  readonly #senders: { track: FakeTrack }[] = [];

  constructor(config: RTCConfiguration) {
    super();
    this.config = config;
    FakePeerConnection.all.push(this);
  }

  addTrack(track: FakeTrack): void {
    this.#senders.push({ track });
  }

  getSenders(): { track: FakeTrack }[] {
    return this.#senders;
  }

  createOffer(): Promise<{ type: string; sdp: string }> {
    return Promise.resolve({ type: 'offer', sdp: OFFER });
  }

  setLocalDescription(description: { sdp: string }): Promise<void> {
    this.localDescription = description;
    this.iceGatheringState = 'gathering';
    this.signalingState = 'have-local-offer';
    return Promise.resolve();
  }

  setRemoteDescription(): Promise<void> {
    this.signalingState = 'stable';
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
  }

  candidate(): void {
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: {} }));
  }

  connection(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }
}

export class FakeTrack {
  readonly kind = 'audio';
  enabled = true;
  stopped = false;
  stop(): void {
    this.stopped = true;
  }
}

export class FakeStream {
  readonly track = new FakeTrack();
  getTracks(): FakeTrack[] {
    return [this.track];
  }
  getAudioTracks(): FakeTrack[] {
    return [this.track];
  }
}

/** Puts a browser's globals in place, with a microphone that `getUserMedia` describes. */
export function fakeBrowser(getUserMedia: () => Promise<FakeStream>): void {
  FakeWebSocket.all = [];
  FakePeerConnection.all = [];
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('WebSocket', FakeWebSocket);
  vi.stubGlobal('RTCPeerConnection', FakePeerConnection);
  vi.stubGlobal('RTCSessionDescription', Object);
  vi.stubGlobal(
    'RTCPeerConnectionIceEvent',
    class extends Event {
      readonly candidate = null;
    },
  );
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia } });
  vi.stubGlobal('document', {
    createElement: () => ({ play: () => Promise.resolve(), pause: () => undefined }),
  });
}
