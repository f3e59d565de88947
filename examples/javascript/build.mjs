// plugin.js as a component. Arguments: the folder with the WIT, where the component goes.

import { readFile, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, output] = process.argv.slice(2);
const source = await readFile(new URL('plugin.js', import.meta.url), 'utf8');
// Nothing but the contract: no clocks, random numbers, standard output or HTTP by way of WASI.
const disableFeatures = ['clocks', 'fetch-event', 'http', 'random', 'stdio'];
const { component } = await componentize(source, { witPath, worldName: 'plugin', disableFeatures });
await writeFile(output, component);
