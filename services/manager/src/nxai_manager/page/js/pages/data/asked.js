// What a GET answers, asked anew when the question changes; what was there stays until the answer comes.
import { get } from "../../api.js";
import { useCallback, useEffect, useRef, useState } from "../../view.js";

/** {data, error, loading, again()} of a GET; `where` null: nothing is asked. `timeout` in seconds. */
export function useAsked(where, query, { timeout } = {}) {
  const [told, setTold] = useState({ data: null, error: null });
  const [loading, setLoading] = useState(false);
  const under = useRef(null);
  const ask = useCallback(async () => {
    if (!where) return;
    under.current?.abort();
    const mine = new AbortController();
    under.current = mine;
    setLoading(true);
    try {
      const data = await get(where, query, { signal: mine.signal, timeout });
      if (under.current === mine) setTold({ data, error: null });
    } catch (error) {
      if (under.current === mine) setTold((before) => ({ ...before, error }));
    } finally {
      if (under.current === mine) setLoading(false);
    }
  }, [where, JSON.stringify(query)]);
  useEffect(() => {
    ask();
  }, [ask]);
  useEffect(
    () => () => {
      under.current?.abort();
      under.current = null;
    },
    [],
  );
  return { ...told, loading, again: ask };
}
