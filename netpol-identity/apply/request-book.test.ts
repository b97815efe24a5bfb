import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestBook } from "./request-book.ts";

const get = (path: string) => ({ method: "GET", host: "", path });

test("beyond the limit of all, those of the edge that was quiet longest go", () => {
  const book = new RequestBook(3);
  book.add("a", [get("/1"), get("/2")], false);
  book.add("b", [get("/1")], true);
  book.add("a", [get("/2")], false);
  book.add("c", [get("/1")], false);
  assert.deepEqual(book.of("b"), {});
  assert.deepEqual(book.of("a"), { requests: [get("/1"), get("/2")] });
  book.forget("a");
  book.add("c", [get("/2"), get("/3")], false);
  assert.deepEqual(book.of("c"), { requests: [get("/1"), get("/2"), get("/3")] });
});
