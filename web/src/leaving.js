/** Leaving a stream while somebody waits for its next answer. */

/**
 * A generator whose `return` and `throw` do not stand in line behind a `next` that may wait for
 * ever, for a source that never goes on, say: they have it come to its end first.
 *
 * @template T
 * @param {AsyncGenerator<T, void, undefined>} generator
 * @param {() => void} leave has whatever the generator waits for end
 * @returns {AsyncGenerator<T, void, undefined>}
 */
export function leavable(generator, leave) {
  const end = generator.return.bind(generator);
  const fail = generator.throw.bind(generator);
  generator.return = (value) => {
    leave();
    return end(value);
  };
  generator.throw = (error) => {
    leave();
    return fail(error);
  };
  return generator;
}
