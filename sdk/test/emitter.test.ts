import { expect, test, vi } from 'vitest';
import { Emitter } from '../src/emitter.js';

class Bell extends Emitter<{ ring: number }> {
  ring(times: number): void {
    this.emit('ring', times);
  }
}

test('on hears all, once hears one, off and the returned function end it', () => {
  const bell = new Bell();
  const heard: string[] = [];
  const every = (times: number): void => void heard.push(`on${times}`);
  const stop = bell.on('ring', every);
  const single = (times: number): void => void heard.push(`once${times}`);
  bell.once('ring', single);
  bell.ring(1);
  bell.ring(2);
  stop();
  bell.once('ring', single);
  bell.off('ring', single);
  bell.ring(3);
  expect(heard).toEqual(['on1', 'once1', 'on2']);
});

test('a listener that throws stops neither the others nor the caller', () => {
  const queued: (() => void)[] = [];
  vi.stubGlobal('queueMicrotask', (task: () => void) => queued.push(task));
  const bell = new Bell();
  const heard = vi.fn();
  bell.on('ring', () => {
    throw new Error('listener');
  });
  bell.on('ring', heard);
  bell.ring(1);
  vi.unstubAllGlobals();
  expect(heard).toHaveBeenCalledOnce();
  expect(queued[0]).toThrow('listener');
});
