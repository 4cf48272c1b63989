import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { CursorStore } from "./feed.js";

/** Keeps a feed's cursor in a file, which is whole at every moment, also after a crash. */
export class FileCursor implements CursorStore {
  constructor(readonly path: string) {}

  async load(): Promise<string | null> {
    try {
      return (await readFile(this.path, "utf8")).trim() || null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return null;
      }
      throw error;
    }
  }

  async save(cursor: string): Promise<void> {
    await writeWhole(this.path, `${cursor}\n`);
  }
}

/** Replaces a file's content in one step: after a crash, the file has the old content or the new. */
export async function writeWhole(path: string, content: string): Promise<void> {
  const beside = `${path}.new`;
  const file = await open(beside, "w");
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
  const folder = await open(dirname(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
